import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { fileNames } from '../support/directoryContents.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { writePair } from '../support/writeCheckpoint.js'

function newMerge() {
  const directory = temporaryDirectory()
  const { left, right } = writePair(directory, { leftShards: 2 })
  const out = join(directory, 'out')
  const args = ['merge', 'a & b', '--model', `a=${left.path}`, '--model', `b=${right.path}`, '--out', out]
  return { args, out }
}

describe('merge --shard and finish', () => {
  test('tell what was done, and what comes next', async () => {
    const { args, out } = newMerge()
    const run = async (...more: string[]) => {
      const { code, stdout, stderr } = await runCommand(more)
      expect([code, stderr]).toEqual([0, ''])
      return stdout
    }
    const next = `When all parts are done: branchmerge finish ${out}`
    const first = await run(...args, '--shard', '1/3')
    expect(first).toMatch(
      /^Part 1 of 3: merged \d+ tensors into model-0000[12]-of-00002\.safetensors\nRead .+ and wrote .+ in /,
    )
    expect(first).toContain(next)
    expect(await run(...args, '--shard', '1/3')).toBe(`Part 1 of 3 was done before\n${next}\n`)
    expect(await run(...args, '--shard', '3/3')).toBe(
      'Part 3 of 3 has nothing to do: the output has 2 files, and a part writes whole files. ' +
        `A smaller --max-shard-size makes more.\n${next}\n`,
    )
    const early = await runCommand(['finish', out])
    expect([early.code, early.stdout]).toEqual([1, ''])
    expect(early.stderr).toContain('that of part 2 is missing. Run the missing parts (--shard). [ERR_PART_MISSING]')
    await run(...args, '--shard', '2/3')
    expect(await run('finish', out)).toContain(`The merged checkpoint is in ${out}`)
    expect(fileNames(out)).not.toContain('.branchmerge-shards')
  })

  test.each<[string[], string]>([
    [['--shard', '2'], 'Expected I/N, the part and the number of parts, for shard'],
    [['--shard', '3/2'], 'Expected an integer from 1 to 2 for part'],
    [['--shard', '0/2'], 'Expected an integer from 1 to 2 for part'],
    [['--shard', '1/2', '--plan'], 'Expected only one of --shard and --plan'],
    [['--shard', '1/2', '--stats', 'x'], 'Expected only one of --shard and --stats'],
    [['--shard', '1/2', '--slurm'], 'Expected only one of --shard and --slurm'],
    [['--slurm', '--stats', 'x'], 'Expected only one of --slurm and --stats'],
    [['--parts', '2'], 'Expected --slurm with --parts'],
    [['--partition', 'main'], 'Expected --slurm with --partition'],
    [['--slurm', '--parts', '0'], 'Expected an integer from 1 to 10000 for parts'],
    [['--slurm', '--cpus', '0.5'], 'Expected an integer from 1 to 1024 for cpus'],
    [['--slurm', '--time', '1', '--time', '2'], 'Expected one text for time'],
  ])('%j is refused', async (more, message) => {
    const { args, out } = newMerge()
    const { code, stderr } = await runCommand([...args, ...more])
    expect([code, stderr.includes(message) ? message : stderr]).toEqual([2, message])
    expect(fileNames(out)).toEqual([])
  })

  test('--slurm where there is no Slurm', async () => {
    const { args } = newMerge()
    const { code, stderr } = await runCommand([...args, '--slurm'], { env: { PATH: '/nowhere' } })
    expect(code).toBe(1)
    expect(stderr).toContain('there is no command sbatch: is this a machine of the cluster? [ERR_SLURM]')
  })
})
