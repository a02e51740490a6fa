/**
 * Loaded before the command (`node --import`): the first run of task BRANCHMERGE_TEST_HOLD_PART of a job array waits
 * before it gives a file its name, so that a test can end it in the middle of its work. A requeued task goes on. A task that
 * no test ends, as when the test itself was killed, fails after ten minutes.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const { BRANCHMERGE_TEST_HOLD_PART, SLURM_ARRAY_TASK_ID, SLURM_RESTART_COUNT } = process.env

if (SLURM_ARRAY_TASK_ID === BRANCHMERGE_TEST_HOLD_PART && !SLURM_RESTART_COUNT) {
  Object.assign(fs.promises, {
    rename: () =>
      new Promise(() => {
        setTimeout(() => process.exit(1), 600_000)
      }),
  })
  syncBuiltinESMExports()
}
