//! `--record`: the command line goes into an annotation of what it changes, where `rollout history` finds
//! it. kubectl calls the flag deprecated, and says so whenever it is given.

use crate::flags::Args;
use serde_json::{Value, json};

pub const KEY: &str = "kubernetes.io/change-cause";

/// Notes the command `path` on an object, where that is asked for.
pub fn note(path: &str, args: &Args, object: &mut Value) {
    if let Some(cause) = cause(path, args) {
        let annotations = &mut object["metadata"]["annotations"];
        if !annotations.is_object() {
            *annotations = json!({});
        }
        annotations[KEY] = cause.into();
    }
}

/// The same as a merge patch.
pub fn patch(path: &str, args: &Args) -> Option<Value> {
    cause(path, args).map(|cause| json!({"metadata": {"annotations": {KEY: cause}}}))
}

/// Words first, then the flags as they were given, each in its long form.
fn cause(path: &str, args: &Args) -> Option<String> {
    args.bool("record").then(|| {
        let words = args.words.iter().cloned();
        let flags = args.given().map(|(name, value)| format!("--{name}={value}"));
        [path.to_owned()].into_iter().chain(words).chain(flags).collect::<Vec<_>>().join(" ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_flags::{FILES, GLOBAL, RECORD};

    #[test]
    fn the_command_line_is_the_cause() {
        let specs: Vec<_> = [FILES, GLOBAL, &[RECORD]].concat();
        let args = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            Args::parse("kubectl apply", specs.clone(), &words).unwrap()
        };
        let mut object = json!({"metadata": {"name": "a"}});
        note("kubectl apply", &args("-f a.yaml"), &mut object);
        assert_eq!(object, json!({"metadata": {"name": "a"}}));
        note("kubectl apply", &args("-f a.yaml --record -n home"), &mut object);
        let cause = "kubectl apply --filename=a.yaml --record=true --namespace=home";
        assert_eq!(object["metadata"]["annotations"], json!({KEY: cause}));
        let line = args("deploy/web web=nginx:2 --record=true");
        let cause = "kubectl set image deploy/web web=nginx:2 --record=true";
        assert_eq!(patch("kubectl set image", &line), Some(json!({"metadata": {"annotations": {KEY: cause}}})));
        assert_eq!(patch("kubectl set image", &args("deploy/web --record=false")), None);
    }
}
