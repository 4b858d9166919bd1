//! Tells the tests whether a PostgreSQL is installed: the suite then runs on it too, else one ignored test says why not.

fn main() {
    let packages = std::path::Path::new("/usr/lib/postgresql");
    println!("cargo:rustc-check-cfg=cfg(postgres_installed)");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", packages.display());
    let mut versions = std::fs::read_dir(packages).into_iter().flatten().flatten();
    if versions.any(|version| version.path().join("bin/initdb").exists()) {
        println!("cargo:rustc-cfg=postgres_installed");
    }
}
