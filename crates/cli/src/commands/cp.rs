//! `kubectl cp`: files and folders to a container and from it, by the container's own `tar`.

use super::logs::{default_container, pod};
use crate::command::{Command, Done};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, int};
use crate::output::warning;
use crate::print::{name_of, namespace_of};
use crate::session::{Call, Session};
use crate::shared_flags::CONTAINER;
use crate::terminal;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use streams::Streams;
use streams::client::Command as Remote;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const FLAGS: &[Flag] = &[
    CONTAINER,
    boolean(
        "no-preserve",
        "The copied file/directory's ownership and permissions will not be preserved in the container",
    ),
    int("retries", "0", "Set number of retries to complete a copy operation from a container."),
];

pub static COMMAND: Command = Command {
    name: "cp",
    usage: "cp <file-spec-src> <file-spec-dest> [options]",
    short: "Copy files and directories to and from containers",
    long: "Requires that the 'tar' binary is present in the container image.",
    examples: "# Copy /tmp/foo_dir local directory to /tmp/bar_dir in a remote pod in the default namespace\nkubectl cp /tmp/foo_dir some-pod:/tmp/bar_dir\n\n# Copy /tmp/foo from a remote pod to /tmp/bar locally\nkubectl cp some-namespace/some-pod:/tmp/foo /tmp/bar",
    flags: &[FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

/// What a container may send for one copy.
const LIMIT: u64 = 64 << 30;

struct Place {
    namespace: String,
    /// Empty: on this machine.
    pod: String,
    path: String,
}

fn place(word: &str) -> Outcome<Place> {
    let Some((pod, path)) = word.split_once(':').filter(|_| Path::new(word).symlink_metadata().is_err()) else {
        return Ok(Place { namespace: String::new(), pod: String::new(), path: word.to_owned() });
    };
    if path.is_empty() {
        return Err(Failure::message("filepath can not be empty"));
    }
    let parts: Vec<&str> = pod.split('/').collect();
    let (namespace, pod) = match parts.as_slice() {
        [pod] => ("", *pod),
        [namespace, pod] if !pod.is_empty() => (*namespace, *pod),
        _ => {
            return Err(Failure::message("filespec must match the canonical format: [[namespace/]pod:]file/path"));
        }
    };
    Ok(Place { namespace: namespace.to_owned(), pod: pod.to_owned(), path: path.to_owned() })
}

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let [from, to] = args.words.as_slice() else {
            return Err(Failure::message("source and destination are required"));
        };
        let (from, to) = (place(from)?, place(to)?);
        match (from.pod.is_empty(), to.pod.is_empty()) {
            (true, false) => upload(session, &args, &from.path, &to).await,
            (false, true) => download(session, &args, &from, &to.path).await,
            (true, true) => Err(Failure::message("one of src or dest must be a remote file specification")),
            (false, false) => {
                Err(Failure::message("src and dest cannot both be remote; one must be a local file specification"))
            }
        }
    })
}

/// Runs a command in the container that is meant.
async fn exec(session: &Session, args: &Args, place: &Place, command: &[&str], stdin: bool) -> Outcome<Remote> {
    let pod = match place.namespace.as_str() {
        "" => pod(session, &place.pod).await?,
        namespace => session.json(Call::get(format!("/api/v1/namespaces/{namespace}/pods/{}", place.pod))).await?,
    };
    if let Some(phase @ ("Succeeded" | "Failed")) = pod["status"]["phase"].as_str() {
        return Err(Failure::message(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    let container = match args.text("container") {
        "" => default_container(&pod)?,
        given => given.to_owned(),
    };
    let streams = Streams { stdin, stdout: true, stderr: true, tty: false };
    let mut query: Vec<(&str, String)> = command.iter().map(|word| ("command", (*word).to_owned())).collect();
    query.push(("container", container));
    let on = [("stdin", stdin), ("stdout", true), ("stderr", true)];
    query.extend(on.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "true".to_owned())));
    let path = format!("/api/v1/namespaces/{}/pods/{}/exec", namespace_of(&pod), name_of(&pod));
    terminal::begin(session, &path, &query, streams).await
}

/// Passes the errors of the far end on, and makes its exit code ours.
async fn ended(remote: Remote) -> Outcome {
    let Remote { stdout, stderr, result, .. } = remote;
    let drain = async {
        if let Some(mut stdout) = stdout {
            let mut rest = Vec::new();
            // What is still printed is of no use to a copy.
            let _ = (&mut stdout).take(1 << 20).read_to_end(&mut rest).await;
        }
    };
    let told = async {
        let mut text = Vec::new();
        if let Some(stderr) = stderr {
            // Nothing more can be told of a stream that broke.
            let _ = stderr.take(1 << 20).read_to_end(&mut text).await;
        }
        text
    };
    let (result, (), text) = tokio::join!(result, drain, told);
    if !text.is_empty() {
        crate::output::error_line(String::from_utf8_lossy(&text).trim_end());
    }
    terminal::code(result.map_err(terminal::failed)?)
}

async fn upload(session: &Session, args: &Args, from: &str, to: &Place) -> Outcome {
    let source = PathBuf::from(from);
    if source.symlink_metadata().is_err() {
        return Err(Failure::message(format!("{from} doesn't exist in local filesystem")));
    }
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut target = PathBuf::from(&to.path);
    // Into a folder that is there, under the source's own name.
    let check = exec(session, args, to, &["test", "-d", &to.path], false).await?;
    if ended_well(check).await? {
        let own = name(&source).or_else(|| source.canonicalize().ok().and_then(|path| name(&path)));
        target.push(own.unwrap_or_default());
    }
    let root = target.file_name().map_or_else(|| ".".to_owned(), |name| name.to_string_lossy().into_owned());
    let folder = target.parent().map(|parent| parent.display().to_string()).unwrap_or_default();
    let mut command = vec!["tar", "-xmf", "-"];
    if args.bool("no-preserve") {
        command = vec!["tar", "--no-same-permissions", "--no-same-owner", "-xmf", "-"];
    }
    if !folder.is_empty() {
        command.extend(["-C", &folder]);
    }
    let mut remote = exec(session, args, to, &command, true).await?;
    let Some(mut stdin) = remote.stdin.take() else { return Err(Failure::message("the container takes no input")) };
    // The archive goes through a pipe: a thread packs while the connection takes what there is.
    let (mut reader, writer) = pipe()?;
    let packing = session.env.tasks.spawn_blocking(move || pack(&source, &root, writer));
    let sending = async {
        let copied = tokio::io::copy(&mut reader, &mut stdin).await;
        // Its end lets tar finish; what went wrong shows in its result.
        let _ = stdin.shutdown().await;
        copied.map(|_| ()).map_err(|why| Failure::message(why.to_string()))
    };
    let (sent, done) = tokio::join!(sending, ended(remote));
    let packed = packing.await;
    done?;
    sent?;
    packed.map_err(|why| Failure::message(why.to_string()))?.map_err(|why| Failure::message(why.to_string()))
}

fn pipe() -> Outcome<(tokio::net::unix::pipe::Receiver, std::fs::File)> {
    let failed = |why: std::io::Error| Failure::message(format!("cannot make a pipe: {why}"));
    let (reader, writer) = rustix::pipe::pipe().map_err(|why| failed(why.into()))?;
    let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(reader).map_err(failed)?;
    Ok((reader, writer.into()))
}

/// Symbolic links are packed as what they are.
fn pack(source: &Path, root: &str, writer: std::fs::File) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(std::io::BufWriter::new(writer));
    archive.follow_symlinks(false);
    if source.is_dir() {
        archive.append_dir_all(root, source)?;
    } else {
        archive.append_path_with_name(source, root)?;
    }
    archive.into_inner()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    Ok(())
}

async fn ended_well(remote: Remote) -> Outcome<bool> {
    let Remote { stdout, stderr, result, .. } = remote;
    drop((stdout, stderr));
    Ok(matches!(result.await.map_err(terminal::failed)?, streams::Outcome::Success))
}

async fn download(session: &Session, args: &Args, from: &Place, to: &str) -> Outcome {
    let mut remote = exec(session, args, from, &["tar", "cf", "-", &from.path], false).await?;
    let Some(stdout) = remote.stdout.take() else { return Err(Failure::message("the container sends no output")) };
    // An archive is read twice at most: it is kept in a file that nobody else can see.
    let mut kept = tokio::fs::File::from_std(
        tempfile::tempfile().map_err(|why| Failure::message(format!("cannot make a file: {why}")))?,
    );
    let receiving = async {
        let copied = tokio::io::copy(&mut stdout.take(LIMIT), &mut kept).await;
        copied.and(kept.flush().await.map(|()| 0)).map_err(|why| Failure::message(why.to_string()))
    };
    let (received, done) = tokio::join!(receiving, ended(remote));
    received?;
    done?;
    let mut file = kept.into_std().await;
    std::io::Seek::rewind(&mut file).map_err(|why| Failure::message(why.to_string()))?;
    unpack(file, &from.path, Path::new(to))
}

/// Unpacks what was packed as `root` at `to`. Nothing is written outside of it, whatever names the
/// container sends; links are left out.
fn unpack(file: std::fs::File, root: &str, to: &Path) -> Outcome {
    let failed = |path: &Path, why: std::io::Error| {
        Failure::message(format!("open {}: {}", path.display(), crate::session::io_text(&why)))
    };
    let base = Path::new(root).file_name().map(PathBuf::from).unwrap_or_default();
    let to = if to.is_dir() { to.join(&base) } else { to.to_owned() };
    let prefix = normal(Path::new(root));
    let mut archive = tar::Archive::new(std::io::BufReader::new(file));
    let entries = archive.entries().map_err(|why| Failure::message(why.to_string()))?;
    let mut found = false;
    for entry in entries {
        let mut entry = entry.map_err(|why| Failure::message(why.to_string()))?;
        let path = entry.path().map_err(|why| Failure::message(why.to_string()))?.into_owned();
        let inner = normal(&path);
        let Ok(below) = inner.strip_prefix(&prefix) else {
            return Err(Failure::message(format!("tar contents corrupted: {}", path.display())));
        };
        let target = if below.as_os_str().is_empty() { to.clone() } else { to.join(below) };
        found = true;
        let header = entry.header().entry_type();
        if header.is_symlink() || header.is_hard_link() {
            let link = entry.link_name().ok().flatten().unwrap_or_default().into_owned();
            warning(&format!(
                "skipping symlink: {:?} -> {:?} (consider using \"kubectl exec -n <namespace> <pod> -- tar cf - {root} | tar xf -\")",
                target.display().to_string(),
                link.display().to_string()
            ));
            continue;
        }
        let folder = if header.is_dir() { Some(target.as_path()) } else { target.parent() };
        if let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|why| failed(folder, why))?;
        }
        if !header.is_dir() {
            let mut out = std::fs::File::create(&target).map_err(|why| failed(&target, why))?;
            std::io::copy(&mut (&mut entry).take(LIMIT), &mut out).map_err(|why| failed(&target, why))?;
        }
    }
    if found { Ok(()) } else { Err(Failure::message(format!("{root} no such file or directory"))) }
}

/// Without the root, `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let shown = |word: &str| {
            place(word).map(|place| (place.namespace, place.pod, place.path)).map_err(|why| why.to_string())
        };
        let rows = [("/a/b", ("", "", "/a/b")), ("p:/a", ("", "p", "/a")), ("ns/p:a/b", ("ns", "p", "a/b"))];
        for (word, (namespace, pod, path)) in rows {
            assert_eq!(shown(word), Ok((namespace.into(), pod.into(), path.into())), "{word}");
        }
        assert_eq!(shown("p:"), Err("error: filepath can not be empty".to_owned()));
        assert!(shown("a/b/c:/x").is_err());
    }

    #[test]
    fn what_leads_outside_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = tar::Builder::new(tempfile::tempfile().unwrap());
        for name in ["tmp/d/good", "tmp/d/sub/more"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(2);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, &b"hi"[..]).unwrap();
        }
        let mut evil = tar::Header::new_gnu();
        evil.set_size(0);
        evil.set_entry_type(tar::EntryType::Symlink);
        archive.append_link(&mut evil, "tmp/d/link", "/etc").unwrap();
        let mut file = archive.into_inner().unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let to = folder.path().join("out");
        unpack(file.try_clone().unwrap(), "/tmp/d", &to).unwrap();
        assert_eq!(std::fs::read(to.join("sub/more")).unwrap(), b"hi");
        assert!(!to.join("link").exists());
        std::io::Seek::rewind(&mut file).unwrap();
        assert!(unpack(file, "/elsewhere", &to).is_err());
    }
}
