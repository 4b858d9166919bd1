# CycloneDX 1.5 of what is linked into the program $root: `cargo metadata` in, without what only tests need.
# Not in it: the C library inside a crate is listed as that crate, and the ClickHouse engine is a file of its own.
(.packages | map({key: .id, value: .}) | from_entries) as $packages
| (.resolve.nodes | map({key: .id, value: [.deps[] | select(any(.dep_kinds[]; .kind != "dev")) | .pkg]}) | from_entries) as $needs
| (.packages[] | select(.name == $root) | .id) as $top
| def reached: . as $known
    | ([$known[] | $needs[.][]] + $known | unique) as $more
    | if ($more | length) == ($known | length) then $known else ($more | reached) end;
  def purl: "pkg:cargo/\(.name)@\(.version)";
  def component($type): {type: $type, "bom-ref": purl, name, version, purl: purl}
    + (if .license then {licenses: [{expression: (.license | gsub("/"; " OR "))}]} else {} end);
([$top] | reached) as $all
| {
    bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
    metadata: {component: ($packages[$top] | component("application"))},
    components: [$all[] | select(. != $top) | $packages[.] | component("library")] | sort_by(.purl),
    dependencies: [$all[] | {ref: ($packages[.] | purl), dependsOn: ([$needs[.][] | $packages[.] | purl] | unique)}] | sort_by(.ref)
  }
