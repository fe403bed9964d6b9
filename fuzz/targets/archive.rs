//! An image archive, whole: a tar, compressed or not, of whatever is in it.
#![no_main]

use base::Env;
use images::{Archive, Images, ImagesOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = fuzz::folder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let images = Images::open(folder.path(), &Env::real(), ImagesOptions::default()).expect("a store");
        let _ = images.import(Archive::Stream(Box::new(std::io::Cursor::new(data.to_vec())))).await;
    });
});
