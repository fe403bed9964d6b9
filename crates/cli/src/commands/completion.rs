//! `kubectl completion`: scripts that let a shell complete commands and their flags.

use crate::command::{Command, Done, GLOBAL};
use crate::failure::Failure;
use crate::flags::Args;
use crate::output::out;
use crate::session::Session;

pub static COMMAND: Command = Command {
    name: "completion",
    usage: "completion SHELL [options]",
    short: "Output shell completion code for the specified shell (bash, zsh, fish, or powershell)",
    examples: "# Load the kubectl completion code for bash into the current shell\nsource <(kubectl completion bash)\n\n# Load the kubectl completion code for zsh into the current shell\nsource <(kubectl completion zsh)",
    run: Some(run),
    ..Command::EMPTY
};

/// What the scripts ask for words: the command line so far, without the program's name.
pub static WORDS: Command = Command { name: "__complete", run: Some(words), ..Command::EMPTY };

const BASH: &str = r#"# bash completion for kubectl
__kubectl_complete() {
    local IFS=$'\n'
    COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F __kubectl_complete kubectl
"#;

const ZSH: &str = r#"#compdef kubectl
_kubectl() {
    local -a found
    found=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT-1]}" 2>/dev/null)}")
    compadd -a found
}
compdef _kubectl kubectl
"#;

const FISH: &str = r"# fish completion for kubectl
function __kubectl_complete
    set -l words (commandline -opc)
    $words[1] __complete -- $words[2..-1] 2>/dev/null
end
complete -c kubectl -f -a '(__kubectl_complete)'
";

const POWERSHELL: &str = r#"# powershell completion for kubectl
Register-ArgumentCompleter -Native -CommandName 'kubectl' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { "$_" } | Where-Object { $_ -ne $wordToComplete })
    kubectl __complete -- @words 2>$null | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }
}
"#;

const SHELLS: &[(&str, &str)] = &[("bash", BASH), ("zsh", ZSH), ("fish", FISH), ("powershell", POWERSHELL)];

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = match args.words.as_slice() {
            [] => return Err(Failure::usage(&session.path, "Shell not specified.")),
            [name] => name,
            _ => return Err(Failure::usage(&session.path, "Too many arguments. Expected only the shell type.")),
        };
        match SHELLS.iter().find(|(shell, _)| shell == name) {
            Some((_, script)) => {
                out(script);
                Ok(())
            }
            None => Err(Failure::usage(&session.path, format!("Unsupported shell type {name:?}."))),
        }
    })
}

/// Subcommands, flags, and the resources that a command takes.
fn words(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let mut command: &Command = &super::ROOT;
        let mut rest = 0;
        for word in args.words.iter().filter(|word| !word.starts_with('-')) {
            match command.children.iter().find(|child| child.name == word || child.aliases.contains(&word.as_str())) {
                Some(child) => command = child,
                None => rest += 1,
            }
        }
        let mut found: Vec<String> = Vec::new();
        if rest == 0 {
            let shown = command.children.iter().filter(|child| !child.name.starts_with("__"));
            found.extend(shown.map(|child| child.name.to_owned()));
        }
        let own = command.flags.iter().flat_map(|group| group.iter());
        found.extend(own.chain(GLOBAL).map(|flag| format!("--{}", flag.name)));
        if rest == 0 && ["get", "describe", "delete", "edit", "patch", "label", "annotate"].contains(&command.name) {
            // Without a server there is less to offer, and nothing to tell.
            if let Ok(discovery) = session.discovery().await {
                found.extend(discovery.resources().iter().map(|resource| resource.name.clone()));
            }
        }
        found.sort();
        found.dedup();
        found.iter().for_each(|word| out(&format!("{word}\n")));
        Ok(())
    })
}
