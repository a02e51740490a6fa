import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { writeExperts } from '../support/experts.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'

/** A merged directory, its models and a configuration of mergekit; commands run there. */
async function setting(): Promise<string> {
  const cwd = temporaryDirectory()
  writeExperts(cwd)
  const { code } = await runCommand(['fuse', 'math', 'science', '--out', 'merged'], { cwd })
  expect(code).toBe(0)
  writeFileSync(
    join(cwd, 'm.yml'),
    'merge_method: slerp\nbase_model: math\nmodels: [{model: science}]\nparameters: {t: 0.5}\n',
  )
  writeFileSync(join(cwd, 'text.txt'), 'To be, or not to be, that is the question.\n')
  writeFileSync(join(cwd, 'recipe.yaml'), 'models: {math: math, science: science}\nexpression: math & science\n')
  return cwd
}

const full = '"$@" > /dev/full'
/** A pipe whose reader has left before anything is written. */
const readerLeft = 'mkfifo pipe && : < pipe & while [ ! -p pipe ]; do :; done; exec 8> pipe; wait; "$@" >&8'

const models = ['--model', 'left=math', '--model', 'right=science']
const commands: [args: string[], out?: string][] = [
  [['--help']],
  [['--version']],
  [['fuse', 'math', 'science', '--out', 'out'], 'out'],
  [['fuse', 'math', 'science', '--out', 'out', '--plan']],
  [['merge', 'm.yml', '--out', 'merged2', '--json'], 'merged2'],
  [['batch', 'recipe.yaml', '--out', 'many'], 'many'],
  [['finish', 'merged']],
  [['verify', 'merged']],
  [['reproduce', 'merged', ...models, '--out', 'again'], 'again'],
  [['report', 'merged']],
  [['report', 'merged', '--out', 'map.svg'], 'map.svg'],
  [['inspect', 'merged', '--json']],
  [['convert', 'm.yml']],
  [['convert', 'm.yml', '--out', 'recipe2.yaml'], 'recipe2.yaml'],
  [['init', '--size', '1m', '--train-tokenizer', 'text.txt', '--vocab-size', '259', '--out', 'base'], 'base'],
  [['doctor']],
]

describe('stdout on a full disk: the work stays, and one line says so', () => {
  test('of every command', async () => {
    const cwd = await setting()
    for (const [args, out] of commands) {
      const { code, stderr } = await runCommand(args, { cwd, shell: full })
      const lines = stderr.split('\n').filter((line) => line.startsWith('branchmerge: ') && line.includes('stdout'))
      const what = out === undefined ? 'The output of the command' : `${out} is complete, but the summary`
      expect([args, code, lines]).toEqual([
        args,
        1,
        [
          `branchmerge: ${what} could not be written to stdout: ENOSPC: no space left on device, write [ERR_OUTPUT_WRITE]`,
        ],
      ])
      expect(stderr).not.toMatch(/^ +at /m)
      if (out !== undefined) expect(existsSync(join(cwd, out))).toBe(true)
    }
    const { code, stdout } = await runCommand(['verify', 'merged2'], { cwd })
    expect([code, stdout]).toEqual([0, expect.stringContaining('The directory is as its branchmerge.json says')])
  })

  test('a failure has its own code and message as well', async () => {
    const { code, stderr } = await runCommand(['inspect', 'nothing', '--json'], { shell: full })
    expect(code).toBe(1)
    expect(stderr).toMatch(/\[ERR_CHECKPOINT_NOT_FOUND\]\nbranchmerge: The output of the command could not be written/)
    expect((await runCommand(['inspect'], { shell: full })).code).toBe(2)
  })
})

test('a reader of stdout that leaves early is no failure, and hides none', async () => {
  const cwd = await setting()
  expect(await runCommand(['inspect', 'merged'], { cwd, shell: readerLeft })).toMatchObject({ code: 0, stderr: '' })
  writeFileSync(join(cwd, 'merged', 'config.json'), '{}')
  const verified = await runCommand(['verify', 'merged'], { cwd, shell: `rm pipe; ${readerLeft}` })
  expect([verified.code, verified.stderr]).toEqual([1, ''])
})

test('stderr on a full disk stops no work, and changes no exit code', async () => {
  const cwd = await setting()
  const shell = '"$@" 2> /dev/full'
  const merged = await runCommand(['merge', 'm.yml', '--out', 'out'], { cwd, shell })
  expect([merged.code, merged.stdout]).toEqual([0, expect.stringContaining('The merged checkpoint is in out')])
  expect((await runCommand(['batch', 'recipe.yaml', '--out', 'many'], { cwd, shell })).code).toBe(0)
  expect((await runCommand(['inspect', 'nothing'], { cwd, shell })).code).toBe(1)
})
