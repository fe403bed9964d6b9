//! What the configuration file comes to, and what is refused.

use super::*;
use crate::plugins::ALL;

const HEAD: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

fn read(text: &str) -> Result<Config, String> {
    parse(&format!("{HEAD}{text}")).map_err(|error| error.to_string())
}

fn names(places: &[usize]) -> Vec<&'static str> {
    places.iter().map(|place| ALL[*place].name).collect()
}

#[test]
fn profiles_change_the_default_plugins() {
    let config = read(
        "podInitialBackoffSeconds: 2
profiles:
- schedulerName: packing
  plugins:
    score:
      disabled: [{name: PodTopologySpread}]
      enabled: [{name: NodeResourcesFit, weight: 5}]
    filter:
      disabled: [{name: '*'}]
      enabled: [{name: NodeName}]
    multiPoint:
      disabled: [{name: DefaultPreemption}, {name: DynamicResources}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 3}]}
- schedulerName: default-scheduler
",
    );
    let config = config.unwrap();
    let [packing, plain] = config.profiles.as_slice() else { panic!("{config:?}") };
    assert_eq!(names(&packing.filters), ["NodeName"]);
    assert!(!packing.preempts && plain.preempts);
    assert_eq!(packing.args.fit.strategy, Strategy::MostAllocated);
    assert_eq!(packing.args.fit.resources, [("cpu".to_owned(), 3)]);
    let weight = |profile: &Profile, name: &str| {
        profile.scores.iter().find(|(place, _)| ALL[*place].name == name).map(|(_, weight)| *weight)
    };
    assert_eq!(weight(packing, "NodeResourcesFit"), Some(5));
    assert_eq!(weight(packing, "PodTopologySpread"), None);
    for (name, default) in [
        ("TaintToleration", 3),
        ("NodeAffinity", 2),
        ("PodTopologySpread", 2),
        ("InterPodAffinity", 2),
        ("NodeResourcesFit", 1),
        ("NodeResourcesBalancedAllocation", 1),
        ("ImageLocality", 1),
    ] {
        assert_eq!(weight(plain, name), Some(default), "{name}");
    }
    assert_eq!(config.first_backoff, Duration::from_secs(2));
}

#[test]
fn extenders_are_read() {
    let text = "extenders:
- urlPrefix: http://127.0.0.1:9/x
  filterVerb: filter
  prioritizeVerb: prioritize
  weight: 4
  httpTimeout: 200ms
  nodeCacheCapable: true
  managedResources: [{name: example.com/foo, ignoredByScheduler: true}]
";
    let config = read(text).unwrap();
    let extender = &config.extenders[0];
    assert_eq!((extender.timeout, extender.weight), (Duration::from_millis(200), 4));
    assert!(config.profiles[0].args.fit.ignores("example.com/foo"));
}

#[test]
fn bad_files_are_refused() {
    for (text, wanted) in [
        ("percentageOfNodesToScore: 101", "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"),
        ("podMaxBackoffSeconds: 0", "podMaxBackoffSeconds: Invalid value: 0: must be greater than or equal to"),
        ("colour: red", "strict decoding error: unknown field `colour`"),
        ("profiles: [{schedulerName: a}, {schedulerName: a}]", "profiles[1].schedulerName: Duplicate value: \"a\""),
        ("profiles: [{}, {}]", "profiles[0].schedulerName: Required value"),
        (
            "profiles: [{plugins: {filter: {enabled: [{name: Magic}]}}}]",
            "profile \"default-scheduler\": plugin \"Magic\" does not exist",
        ),
        (
            "profiles: [{plugins: {bind: {disabled: [{name: '*'}]}}}]",
            "at least one bind plugin is needed for profile with scheduler name \"default-scheduler\"",
        ),
        ("extenders: [{urlPrefix: x, prioritizeVerb: rank}]", "extenders[0].weight: Invalid value: 0"),
        ("extenders: [{urlPrefix: a, bindVerb: b}, {urlPrefix: c, bindVerb: d}]", "extenders: Invalid value"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(wanted), "{text}: {error}");
    }
    let other = parse("apiVersion: v1\nkind: Pod\n").unwrap_err().to_string();
    assert_eq!(other, "no kind \"Pod\" is registered for version \"v1\"");
}
