/** The repository's address, from the workspace's Cargo.toml; empty while nobody has set it. */
export function repositoryOf(manifest) {
  const table = manifest.split(/^\[workspace\.package\]$/m)[1]?.split(/^\[/m)[0] ?? ''
  return table.match(/^repository\s*=\s*"([^"]*)"/m)?.[1] ?? ''
}
