import { chmodSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { recipeObject } from '../../../lib/recipe/recipe.js'
import { launchCommand } from '../../../lib/train/launchCommand.js'
import { resolveRun } from '../../../lib/train/resolveRun.js'
import type { LauncherOptions } from '../../../lib/train/runOptions.js'
import { temporaryDirectory } from '../../support/temporary.js'

const launcherOf = (launcher: LauncherOptions) =>
  resolveRun(recipeObject({ model: 'm', output: 'o', data: { sources: ['d.jsonl'] }, launcher })).launcher

/** With an mpirun that is of the kind it says. */
async function withMpirun<T>(version: string, work: () => Promise<T>): Promise<T> {
  const directory = temporaryDirectory()
  writeFileSync(join(directory, 'mpirun'), `#!/bin/sh\necho '${version}'\n`)
  chmodSync(join(directory, 'mpirun'), 0o755)
  const { PATH } = process.env
  process.env.PATH = `${directory}:/usr/bin:/bin`
  try {
    return await work()
  } finally {
    process.env.PATH = PATH
  }
}

const openMpi = 'mpirun (Open MPI) 4.1.4'
const commandOf = async (options: LauncherOptions, version = openMpi, inAllocation = false) =>
  (await withMpirun(version, () => launchCommand('/t', '/run.json', launcherOf(options), inAllocation))).command.join(
    ' ',
  )

describe('processes are started', () => {
  test.each<[string, LauncherOptions, string]>([
    ['one by itself', {}, '/t /run.json'],
    ['several by mpirun', { processes: 4 }, 'mpirun -n 4 --host localhost:4 --bind-to none /t /run.json'],
    [
      'on hosts that say how many',
      { processes: 3, hosts: ['a:1', 'b:2'] },
      'mpirun -n 3 --host a:1,b:2 --bind-to none /t /run.json',
    ],
    [
      'shared among hosts that do not',
      { processes: 5, hosts: ['a', 'b'] },
      'mpirun -n 5 --host a:3,b:2 --bind-to none /t /run.json',
    ],
    [
      'shared among the rest',
      { processes: 6, hosts: ['a:2', 'b', 'c'] },
      'mpirun -n 6 --host a:2,b:2,c:2 --bind-to none /t /run.json',
    ],
    ['one on another host', { hosts: ['a'] }, 'mpirun -n 1 --host a:1 --bind-to none /t /run.json'],
  ])('%s', async (_, options, expected) => expect(await commandOf(options)).toBe(expected))

  test("by MPICH's mpirun in its own words", async () => {
    expect(await commandOf({ processes: 2 }, 'HYDRA build details:')).toBe(
      'mpirun -n 2 -hosts localhost:2 /t /run.json',
    )
  })

  test('by srun in an allocation', async () => {
    expect(await commandOf({ processes: 2, slurm: { cpusPerTask: 4 } }, openMpi, true)).toBe(
      'srun --ntasks=2 --cpus-per-task=4 --mpi=pmix --kill-on-bad-exit=1 --unbuffered /t /run.json',
    )
    expect(await commandOf({}, openMpi, true)).toBe('srun --ntasks=1 --kill-on-bad-exit=1 --unbuffered /t /run.json')
  })

  test('by root, whom Open MPI must be told to trust', async () => {
    const { env } = await withMpirun(openMpi, () => launchCommand('/t', '/r', launcherOf({ processes: 2 }), false))
    expect(Object.keys(env)).toEqual(
      userInfo().uid === 0 ? ['OMPI_ALLOW_RUN_AS_ROOT', 'OMPI_ALLOW_RUN_AS_ROOT_CONFIRM'] : [],
    )
  })

  test.each<[string, LauncherOptions]>([
    ['too few places', { processes: 4, hosts: ['a:1', 'b:2'] }],
    ['a host for which no process is left', { processes: 2, hosts: ['a:2', 'b'] }],
  ])('not with %s', async (_, options) => {
    await expect(commandOf(options)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })

  test('not by an mpirun that nobody knows', async () => {
    await expect(commandOf({ processes: 2 }, 'mpirun of somebody')).rejects.toMatchObject({
      code: 'ERR_MPI_MISSING',
      message: expect.stringContaining('found mpirun of somebody'),
    })
  })
})
