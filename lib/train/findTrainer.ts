import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BranchMergeError } from '../errors.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Names the executable where it is not the one that the package's build made. */
const variable = 'BRANCHMERGE_TRAINER'

/**
 * The path of the trainer.
 *
 * @throws ERR_TRAINER_MISSING with the commands that build it
 */
export async function findTrainer(): Promise<string> {
  const named = process.env[variable]
  const path = named ? resolve(named) : join(root, 'build', 'Release', 'branchmerge-trainer')
  const isThere = await access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
  if (isThere) return path
  throw new BranchMergeError(
    'ERR_TRAINER_MISSING',
    named
      ? `Expected the trainer at ${path}, which ${variable} names, but there is no program`
      : [
          `Expected the trainer at ${path} but it was not built. It needs OpenBLAS, and an MPI for several processes:`,
          '  apt-get install libopenblas-dev libopenmpi-dev openmpi-bin    # Debian, Ubuntu',
          `  cd ${root} && npx cmake-js build --out build/cmake`,
          `Or name one with ${variable}.`,
        ].join('\n'),
  )
}
