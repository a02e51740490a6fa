import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BranchMergeError } from '../errors.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Names the executable where it is not the one that the package's build made. */
const variable = 'BRANCHMERGE_SANDBOX'

/**
 * The path of branchmerge-sandbox: as built here, or as the package brings it.
 *
 * @throws ERR_SANDBOX with the command that builds it
 */
export async function findSandbox(): Promise<string> {
  if (process.platform !== 'linux') {
    throw new BranchMergeError('ERR_SANDBOX', `Programs are run on Linux only, and this is ${process.platform}`)
  }
  const named = process.env[variable]
  const paths = named
    ? [resolve(named)]
    : [join(root, 'build', 'Release'), join(root, 'prebuilds', `linux-${process.arch}`)].map((directory) =>
        join(directory, 'branchmerge-sandbox'),
      )
  for (const path of paths) {
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isThere) return path
  }
  throw new BranchMergeError(
    'ERR_SANDBOX',
    named
      ? `Expected the sandbox at ${paths[0]}, which ${variable} names, but there is no program`
      : `Expected the sandbox at ${paths[0]} but it was not built. Build it:\n` +
          `  cd ${root} && npx cmake-js build --out build/cmake\n` +
          `Or name one with ${variable}.`,
  )
}
