import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The tests of the command run bin/branchmerge.js, which needs the compiled TypeScript: build it before any test. */
export function setup() {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  execFileSync('node_modules/.bin/tsc', ['-p', '.'], { cwd: root, stdio: 'inherit' })
}
