import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { firstFailure } from '../../../lib/train/trainingFailure.js'
import { temporaryDirectory } from '../../support/temporary.js'

const line = '-'.repeat(74)

// As Open MPI 4.1.4 and 5.0.7 and Slurm 22.05 and 24.11 wrote it.
const told: Record<string, string[]> = {
  'Open MPI 4': [line, 'mpirun noticed that process rank 1 with PID 0 on node host exited on signal 9 (Killed).', line],
  'Open MPI 5': [
    line,
    'prterun noticed that process rank 1 with PID 10945 on node host exited on',
    'signal 9 (Killed).',
    line,
  ],
  'Open MPI 5, a long name': [
    'prterun noticed that process rank 1 with PID 10945 on node',
    'host exited on signal 9 (Killed).',
  ],
}

const end = { processes: 3, exitCode: 137, exitSignal: null, errors: [], silence: undefined, log: [] as string[] }

test.each(Object.entries(told))('%s tells which process was killed', async (_, log) => {
  expect(await firstFailure(temporaryDirectory(), { ...end, log })).toEqual({
    rank: 1,
    host: 'host',
    code: undefined,
    message: 'it was ended by signal 9 (Killed)',
  })
})

test('srun tells which process was killed', async () => {
  const log = ['srun: error: n2: task 1: Killed']
  expect(await firstFailure(temporaryDirectory(), { ...end, log })).toMatchObject({ rank: 1, host: 'n2' })
})

test('where none tells, it is the one process that did not say that it ended', async () => {
  const directory = temporaryDirectory()
  const beat = (rank: number, phase: string) =>
    writeFileSync(join(directory, `heartbeat-${rank}.json`), JSON.stringify({ rank, host: `h${rank}`, phase }))
  beat(0, 'ended')
  beat(1, 'training')
  expect(await firstFailure(directory, end)).toMatchObject({ rank: undefined })
  beat(2, 'ended')
  expect(await firstFailure(directory, end)).toMatchObject({ rank: 1, host: 'h1' })
})
