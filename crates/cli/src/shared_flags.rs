//! Flags that several commands share, one table a concept, so that each reads and means the same
//! everywhere. A command's own flags stand with the command.

use crate::flags::{Flag, boolean, duration, int, list, repeat, text};

pub const KUBERC: Flag = text(
    "kuberc",
    "",
    "Path to the kuberc file to use for preferences. This can be disabled by exporting KUBECTL_KUBERC=false feature gate or turning off the feature KUBERC=off.",
);

/// Flags that every command takes.
pub const GLOBAL: &[Flag] = &[
    text("as", "", "Username to impersonate for the operation."),
    repeat("as-group", "Group to impersonate for the operation, this flag can be repeated to specify multiple groups."),
    text("as-uid", "", "UID to impersonate for the operation."),
    repeat("as-user-extra", "User extras to impersonate for the operation, as key=value."),
    text("cache-dir", "", "Default cache directory"),
    text("certificate-authority", "", "Path to a cert file for the certificate authority"),
    text("client-certificate", "", "Path to a client certificate file for TLS"),
    text("client-key", "", "Path to a client key file for TLS"),
    text("cluster", "", "The name of the kubeconfig cluster to use"),
    text("context", "", "The name of the kubeconfig context to use"),
    boolean("disable-compression", "If true, opt-out of response compression for all requests to the server"),
    boolean(
        "insecure-skip-tls-verify",
        "If true, the server's certificate will not be checked for validity. This will make your HTTPS connections insecure",
    ),
    text("kubeconfig", "", "Path to the kubeconfig file to use for CLI requests."),
    KUBERC,
    boolean("match-server-version", "Require server version to match client version"),
    text("namespace", "", "If present, the namespace scope for this CLI request").short('n'),
    text("password", "", "Password for basic authentication to the API server"),
    duration("request-timeout", "0", "The length of time to wait before giving up on a single server request."),
    text("server", "", "The address and port of the Kubernetes API server").short('s'),
    text("tls-server-name", "", "Server name to use for server certificate validation."),
    text("token", "", "Bearer token for authentication to the API server"),
    text("user", "", "The name of the kubeconfig user to use"),
    text("username", "", "Username for basic authentication to the API server"),
    boolean(
        "warnings-as-errors",
        "Treat warnings received from the server as errors and exit with a non-zero exit code",
    ),
    int("v", "0", "number for the log level verbosity").short('v'),
];

/// `-o` and what goes with it.
pub const PRINT: &[Flag] = &[
    text("output", "", "Output format. One of: (json, yaml, name, go-template, go-template-file, template, templatefile, jsonpath, jsonpath-as-json, jsonpath-file).")
        .short('o'),
    boolean("show-managed-fields", "If true, keep the managedFields when printing objects in JSON or YAML format."),
    text("template", "", "Template string or path to template file to use when -o=go-template, -o=go-template-file."),
    Flag {
        default: "true",
        ..boolean(
            "allow-missing-template-keys",
            "If true, ignore any errors in templates when a field or map key is missing in the template. Only applies to golang and jsonpath output formats.",
        )
    },
];

/// `-f` and what goes with it.
pub const FILES: &[Flag] = &[
    list("filename", "Filename, directory, or URL to files to use.").short('f'),
    text("kustomize", "", "Process a kustomization directory. This flag can't be used together with -f or -R.")
        .short('k'),
    boolean("recursive", "Process the directory used in -f, --filename recursively.").short('R'),
];

pub const DRY_RUN: Flag = text("dry-run", "none", "Must be \"none\", \"server\", or \"client\".").bare("unchanged");
pub const SELECTOR: Flag =
    text("selector", "", "Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin'.").short('l');
pub const FIELD_SELECTOR: Flag =
    text("field-selector", "", "Selector (field query) to filter on, supports '=', '==', and '!='.");
pub const VALIDATE: Flag =
    text("validate", "strict", "Must be one of: strict (or true), warn, ignore (or false).").bare("strict");
pub const FIELD_MANAGER: Flag = text("field-manager", "", "Name of the manager used to track field ownership.");
pub const SAVE_CONFIG: Flag = boolean(
    "save-config",
    "If true, the configuration of current object will be saved in its annotation. Otherwise, the annotation will be unchanged.",
);
pub const SUBRESOURCE: Flag =
    text("subresource", "", "If specified, the command will operate on the subresource of the requested object.");
pub const ALL: Flag = boolean("all", "Select all resources in the namespace of the specified resource types");
pub const ALL_NAMESPACES: Flag =
    boolean("all-namespaces", "If present, list the requested object(s) across all namespaces.").short('A');
pub const LOCAL: Flag = boolean("local", "If true, the command will NOT contact api-server but run locally.");
pub const CHUNK_SIZE: Flag =
    int("chunk-size", "500", "Return large lists in chunks rather than all at once. Pass 0 to disable.");
pub const NO_HEADERS: Flag = boolean(
    "no-headers",
    "When using the default or custom-column output format, don't print headers (default print headers).",
);
pub const RECORD: Flag = boolean("record", "Record current kubectl command in the resource annotation. Deprecated.");
pub const WINDOWS_LINE_ENDINGS: Flag =
    boolean("windows-line-endings", "Defaults to the line ending native to your platform.");
pub const DETACH_KEYS: Flag =
    text("detach-keys", "ctrl-p,ctrl-q", "Override the key sequence for detaching a container.");
/// What an update of many objects at once is narrowed by.
pub const SELECTION: &[Flag] = &[SELECTOR, FIELD_SELECTOR, ALL, ALL_NAMESPACES];

/// How objects that must go are deleted, by those commands that delete as a part of what they do.
pub const DELETION: &[Flag] = &[
    text("cascade", "background", "Must be \"background\", \"orphan\", or \"foreground\".").bare("background"),
    boolean("force", "If true, immediately remove resources from API and bypass graceful deletion."),
    int(
        "grace-period",
        "-1",
        "Period of time in seconds given to the resource to terminate gracefully. Ignored if negative.",
    ),
    duration(
        "timeout",
        "0s",
        "The length of time to wait before giving up on a delete, zero means determine a timeout from the size of the object",
    ),
    Flag { default: "false", ..boolean("wait", "If true, wait for resources to be gone before returning.") },
];

/// How commands that talk to a container choose it.
pub const CONTAINER: Flag = text(
    "container",
    "",
    "Container name. If omitted, use the kubectl.kubernetes.io/default-container annotation for selecting the container to be attached or the first container in the pod will be chosen",
)
.short('c');
pub const STREAMS: &[Flag] = &[
    boolean("stdin", "Pass stdin to the container").short('i'),
    boolean("tty", "Stdin is a TTY").short('t'),
    boolean("quiet", "Only print output from the remote session").short('q'),
];
pub const RUNNING_TIMEOUT: Flag = duration(
    "pod-running-timeout",
    "1m0s",
    "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running",
);
