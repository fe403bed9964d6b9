//! Command lines with aliases and defaults, and files that are none.

use super::*;
use crate::commands::ROOT;
use crate::flags::{boolean, text};

const FILE: &str = r#"
apiVersion: kubectl.config.k8s.io/v1beta1
kind: Preference
aliases:
- name: getn
  command: get
  options: [{name: output, default: wide}]
  prependArgs: [nodes]
- name: runx
  command: run
  options: [{name: image, default: nginx}]
  appendArgs: ["--", custom-arg]
- name: apply
  command: delete
- name: broken
  command: no such
defaults:
- command: delete
  options: [{name: interactive, default: "true"}]
- command: nothing
  options: [{name: x, default: "1"}]
"#;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn read(text: &str) -> Result<Preferences, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kuberc");
    std::fs::write(&path, text).unwrap();
    Place { path, is_named: true }.read().map(|found| found.unwrap())
}

#[test]
fn aliases_stand_for_lines() {
    let preferences = read(FILE).unwrap();
    let rows = [
        ("getn n1 -o json", Some("get nodes n1 -o json")),
        ("-n home getn", Some("-n home get nodes")),
        ("runx web --image=b", Some("run web --image=b -- custom-arg")),
        ("get nodes", None),
        // What is built in goes before.
        ("apply -f x", None),
        ("--v=3", None),
    ];
    for (line, expanded) in rows {
        let found = preferences.expand(&ROOT, &words(line)).unwrap();
        assert_eq!(found.map(|(_, line)| line), expanded.map(words), "{line}");
    }
    let failure = preferences.expand(&ROOT, &words("broken x")).unwrap_err();
    assert_eq!(failure.to_string(), "error: command \"no such\" not found to set alias \"broken\"");
}

#[test]
fn the_command_line_goes_before_defaults_and_these_are_not_for_aliases() {
    let preferences = read(FILE).unwrap();
    let filled = |alias: Option<&Alias>, path: &str, line: &str| {
        let specs = vec![boolean("interactive", ""), text("output", "", "").short('o')];
        let mut args = Args::parse(path, specs, &words(line)).unwrap();
        preferences
            .fill(alias, &ROOT, path, &mut args)
            .map(|()| (args.bool("interactive"), args.text("output").to_owned()))
    };
    let getn = Some(&preferences.aliases[0]);
    assert_eq!(filled(None, "kubectl delete", "pod a").unwrap(), (true, String::new()));
    assert_eq!(filled(None, "kubectl delete", "pod a --interactive=false").unwrap(), (false, String::new()));
    assert_eq!(filled(None, "kubectl get", "pods").unwrap(), (false, String::new()));
    assert_eq!(filled(getn, "kubectl get", "nodes").unwrap(), (false, "wide".to_owned()));
    assert_eq!(filled(getn, "kubectl get", "nodes -oyaml").unwrap(), (false, "yaml".to_owned()));
    let runx = Some(&preferences.aliases[1]);
    let failure = filled(runx, "kubectl run", "x").unwrap_err();
    assert_eq!(failure.to_string(), "error: invalid alias flag image in alias runx");
}

#[test]
fn older_names_of_fields_are_read() {
    let old = "apiVersion: kubectl.config.k8s.io/v1alpha1\nkind: Preference\noverrides:\n- command: get\n  flags: [{name: output, default: wide}]\n";
    let read = read(old).unwrap();
    assert_eq!(read.defaults[0].options, [Preset { name: "output".to_owned(), default: "wide".to_owned() }]);
}

#[test]
fn what_is_no_such_file_is_told() {
    let rows = [
        ("apiVersion: v1\nkind: Config\n", "no kind \"Config\" is registered for version \"v1\""),
        ("[]", "no kind \"\" is registered for version \"\""),
    ];
    for (text, why) in rows {
        assert_eq!(read(text).unwrap_err(), why);
    }
    let with = |rest: &str| {
        let text = format!("apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n{rest}");
        read(&text).unwrap().check().unwrap_err().to_string()
    };
    let rows = [
        (
            "aliases: [{name: get-n, command: get}]",
            "error: invalid alias name, can only include alphabetical characters",
        ),
        ("aliases: [{name: a, command: get}, {name: a, command: top}]", "error: duplicate alias name a"),
        (
            "defaults: [{command: get, options: [{name: --output, default: a}]}]",
            "error: flag name --output should be in long form without dashes",
        ),
    ];
    for (rest, why) in rows {
        assert_eq!(with(rest), why);
    }
}

#[test]
fn the_flag_is_found_before_the_line_is_read() {
    // The file need not be there for the command that makes it.
    assert!(Preferences::of(&ROOT, &words("kuberc set --kuberc /no/such")).is_ok());
    assert!(Preferences::of(&ROOT, &words("get --kuberc /no/such")).is_err());
    let asked = |line: &str| asked(&words(line)).map(|path| path.map(str::to_owned)).map_err(|why| why.to_string());
    assert_eq!(asked("get pods --kuberc a"), Ok(Some("a".to_owned())));
    assert_eq!(asked("--kuberc=b get"), Ok(Some("b".to_owned())));
    assert_eq!(asked("exec p -- --kuberc c"), Ok(None));
    assert_eq!(asked("get --kuberc"), Err("error: kuberc file is not found".to_owned()));
}
