//! `kutter images`: what is on this node's disk, beside a running kutter or without one.

use crate::command_line;
use crate::node_flags::registry_options;
use anyhow::Context as _;
use base::Env;
use clap::ArgMatches;
use images::{Archive, Image, ImageService as _, Images, ImagesOptions};
use std::path::PathBuf;
use std::process::ExitCode;

pub fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    base::logging::init("warn");
    let env = Env::real();
    let data_dir = command_line::dir(matches);
    let registries = match matches.subcommand() {
        Some(("pull", matches)) => registry_options(matches)?,
        _ => ImagesOptions::default(),
    };
    let images = Images::open(&data_dir.join("images"), &env, registries)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        match matches.subcommand() {
            Some(("list", _)) => list(&images).await?,
            Some(("import", matches)) => import(&images, &given(matches, "archive")[0]).await?,
            Some(("pull", matches)) => {
                let image = images.pull(&given(matches, "reference")[0], &[]).await?;
                println!("{}", names(&image).first().unwrap_or(&image.id));
            }
            Some(("remove", matches)) => {
                let holders = container::image_holders(&crate::node::containers_dir(&data_dir))
                    .context("cannot read which images are in use")?;
                let holders: Vec<_> = holders.into_iter().map(|holder| (holder.container, holder.layers)).collect();
                for reference in given(matches, "reference") {
                    anyhow::ensure!(images.present(&reference).await?.is_some(), "no such image: {reference}");
                    images.remove_unused(&reference, &holders).await?;
                    println!("removed {reference}");
                }
            }
            _ => return Ok(ExitCode::FAILURE),
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn given(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).into_iter().flatten().cloned().collect()
}

fn names(image: &Image) -> Vec<String> {
    if image.repo_tags.is_empty() { image.repo_digests.clone() } else { image.repo_tags.clone() }
}

async fn import(images: &Images, archive: &str) -> anyhow::Result<()> {
    let archive = match archive {
        "-" => Archive::Stream(Box::new(std::io::stdin())),
        path => Archive::Path(PathBuf::from(path)),
    };
    for image in images.import(archive).await? {
        for name in names(&image) {
            println!("imported {name}");
        }
    }
    Ok(())
}

async fn list(images: &Images) -> anyhow::Result<()> {
    let mut rows = vec![["IMAGE".to_owned(), "ID".to_owned(), "SIZE".to_owned()]];
    for image in images.list().await? {
        let id = image.id.trim_start_matches("sha256:").chars().take(12).collect::<String>();
        for name in names(&image) {
            rows.push([name, id.clone(), format!("{:.1}MB", image.size as f64 / 1e6)]);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    for [name, id, size] in &rows {
        println!("{name:first$}   {id:second$}   {size}");
    }
    Ok(())
}
