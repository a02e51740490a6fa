import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { additions, allSteps, newPipeline, newServer, pipelineText, served, writeRows } from '../pipeline/setting.js'
import { rounds } from '../support/rounds.js'
import { preload, runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'

const selection = 'select: {sources: [{path: rows.jsonl, map: {question: question, answers: answers}}]}'

/** What must be the same after a kill: no times, process numbers and logs, and of answers no order. */
const results = [
  'numbers/data.jsonl',
  'left/model.safetensors',
  'left/config.json',
  'right/model.safetensors',
  'merged/model.safetensors',
  'merged/config.json',
  'fused/model.safetensors',
  'table/scores.csv',
]
const resultsIn = (out: string): Map<string, string> =>
  new Map(results.map((name) => [name, readFileSync(join(out, name), 'latin1')]))

test('kill -9 at any of its steps, and --resume gives the same files', async () => {
  const server = await newServer()
  const { cwd, out } = await newPipeline(pipelineText(served(server.url)))
  const run = (args: string[], env: Record<string, string> = {}) =>
    runCommand(['run', 'pipeline.yaml', ...args], { cwd, env })
  const whole = await run([])
  expect(whole.code, whole.stderr).toBe(0)
  const wanted = resultsIn(out)
  for (let round = 0; round < rounds({ all: 2, quick: 1 }); round++) {
    rmSync(out, { recursive: true })
    rmSync(join(cwd, 'cache'), { recursive: true })
    let kills = 0
    // Later each time, so that it comes to an end.
    for (let at = 2 + round * 5; ; at += 6 + round) {
      // Whether it was killed before it had written what is done: then there is nothing to go on with, and nothing is in the way.
      const env = { BRANCHMERGE_TEST_KILL_AT: String(at), NODE_OPTIONS: preload('killAtStep.js') }
      const killed = await run(['--resume'], env)
      if (killed.signal === 'SIGKILL') kills++
      else {
        expect([killed.code, killed.stderr]).toEqual([0, expect.any(String)])
        break
      }
    }
    expect(kills).toBeGreaterThan(5)
    expect(resultsIn(out)).toEqual(wanted)
    const { steps } = JSON.parse((await run(['--resume', '--json'])).stdout)
    expect(steps.map(({ status }: { status: string }) => status)).toEqual(allSteps.map(() => 'kept'))
  }
})

test('it tells what runs and why; --plan runs nothing; --set and --out go before the file', async () => {
  const { cwd } = await newPipeline(`out: results\nsteps:\n  numbers:\n    ${selection}\n`)
  const run = (...args: string[]) => runCommand(['run', 'pipeline.yaml', ...args], { cwd })
  const plan = await run('--plan')
  expect(plan.code).toBe(0)
  expect(plan.stdout).toMatch(/numbers +select +runs +not run yet\n\nNothing was run \(--plan\)\./)
  const planned = JSON.parse((await run('--plan', '--json')).stdout)
  expect(planned.steps).toMatchObject([{ name: 'numbers', status: 'run', reasons: ['not run yet'], needs: [] }])
  const first = await run()
  expect([first.code, first.stderr]).toEqual([
    0,
    expect.stringMatching(/^\[1\/1\] numbers \(select\): not run yet\nnumbers: done after /),
  ])
  expect(first.stdout).toMatch(/numbers +select +done /)
  const refused = await run('--json')
  expect([refused.code, JSON.parse(refused.stdout).error.code]).toEqual([1, 'ERR_OUTPUT_EXISTS'])
  const changed = await run('--resume', '--set', 'steps.numbers.limit=3', '--json')
  expect(JSON.parse(changed.stdout)).toMatchObject({
    complete: true,
    steps: [{ name: 'numbers', status: 'done', reasons: ['limit: not set → 3'] }],
  })
  const other = await run('--out', 'other', '--json')
  expect(JSON.parse(other.stdout).out).toBe(join(cwd, 'other'))
  expect((await run('--only', 'nothing')).code).toBe(2)
})

test('a step that fails is named at the end, and the command exits with 1', async () => {
  const { cwd } = await newPipeline(
    `out: results\nsteps:\n  bad:\n    ${selection.replace('rows', 'other')}\n  good:\n    ${selection}\n` +
      `  behind:\n    sft: {model: base, data: {sources: ['\${bad}']}}\n`,
  )
  writeRows(join(cwd, 'other.jsonl'), [{ nothing: 1 }])
  const failed = await runCommand(['run', 'pipeline.yaml'], { cwd })
  expect(failed.code).toBe(1)
  expect(failed.stderr).toContain(
    'branchmerge: bad failed, and behind could not run; --resume runs what is not done [ERR_PIPELINE]',
  )
  expect(failed.stdout).toMatch(/bad +select +failed/)
  expect(failed.stdout).toMatch(/good +select +done/)
  expect(failed.stdout).toMatch(/behind +sft +blocked +- +step bad failed/)
  expect(failed.stdout).toMatch(/\n\nbad failed: .*\[ERR_DATA\]/s)
  writeRows(join(cwd, 'other.jsonl'), additions(3))
  const repaired = await runCommand(['run', 'pipeline.yaml', '--resume', '--only', 'bad', '--json'], { cwd })
  expect([repaired.code, JSON.parse(repaired.stdout).complete]).toEqual([0, true])
})

test('wrong files are refused with the line, before anything is run', async () => {
  const cwd = temporaryDirectory()
  mkdirSync(join(cwd, 'results'))
  const training = (rest: string) => `sft: {model: base, data: {sources: [a.jsonl]}${rest}}`
  const cases: [name: string, steps: string[], message: string][] = [
    [
      'a step that is not there',
      ['a:', `  sft: {model: '\${bse}', data: {sources: [a.jsonl]}}`, 'base:', `  ${training('')}`],
      '4:18: There is no step "bse": did you mean base?',
    ],
    [
      'itself',
      ['a:', `  sft: {model: '\${a}', data: {sources: [a.jsonl]}}`],
      '4:18: Expected the output of another step, not of a itself',
    ],
    [
      'a circle',
      ['a:', `  fuse: {left: '\${b}', right: x}`, 'b:', `  fuse: {left: '\${a}', right: x}`],
      '3:3: Expected no circle of steps: a needs b needs a',
    ],
    ['one name twice', ['a:', `  ${training('')}`, 'a:', `  ${training('')}`], '5:3: Expected the key "a" once'],
    [
      'one directory twice',
      ['a:', `  ${training('')}`, 'A:', `  ${training('')}`],
      '5:3: Expected another name than a, which differs in capital letters alone',
    ],
    [
      'an output of its own',
      ['a:', `  ${training(', output: b')}`],
      '4:52: Expected no output: the output of a step lies in',
    ],
    ['the output of a recipe', ['a:', '  merge: {expression: x & y, output: {path: b}}'], 'Expected no output.path'],
    [
      'a wrong option',
      ['a:', '  sft:', '    model: base', '    data: {sources: [a.jsonl]}', '    training: {maxStep: 3}'],
      '7:18: Unknown key "maxStep": did you mean maxSteps?',
    ],
    ['a wrong value', ['a:', '  merge: {models: {x: x, y: y}, expression: x & y, options: {lambda: -1}}'], '4:'],
    [
      'a wrong option of fuse',
      ['a:', '  fuse: {left: x, right: y, lamda: 1}'],
      '4:31: Unknown key "lamda": did you mean lambda?',
    ],
    [
      'a wrong option of compare',
      ['a:', '  compare: {evaluations: []}'],
      '4:28: Expected a list of directories of evaluations for steps.a.compare.evaluations',
    ],
    ['an unknown kind', ['a:', '  sftt: {}'], '4:5: Unknown key "sftt": did you mean sft?'],
    [
      'two kinds',
      ['a:', `  ${training('')}`, '  fuse: {left: x, right: y}'],
      'Expected one kind of step of select, teach, sft, merge, fuse, evaluate, compare but received sft, fuse',
    ],
    ['no kind', ['a: {threads: 3}'], 'but received none'],
    ['a setting of others', ['a:', `  ${training('')}`, '  limit: 3'], '5:5: Expected no limit in a step sft'],
    ['a name', ['a-b:', `  ${training('')}`], '3:3: Expected letters, digits and _ in the name of a step'],
    ['an expression', ['a:', '  merge: x & y'], 'Expected an object, or the path of a .yaml or .json file, for merge'],
    [
      'a path above a step',
      ['a:', `  ${training('')}`, 'b:', `  fuse: {left: '\${a}/../x', right: x}`],
      'a path in what a writes',
    ],
    [
      'the directory of a step',
      ['a:', `  ${training('')}`, 'b:', '  fuse: {left: results/a, right: x}'],
      `6:5: Expected \${a} for what a step writes, but results/a`,
    ],
    ['a file that is not there', ['a:', '  sft: nothing.yaml'], 'nothing.yaml'],
  ]
  for (const [name, steps, message] of cases) {
    writeFileSync(join(cwd, 'pipeline.yaml'), `out: results\nsteps:\n${steps.map((line) => `  ${line}\n`).join('')}`)
    const result = await runCommand(['run', 'pipeline.yaml', '--json'], { cwd })
    const { error } = JSON.parse(result.stdout)
    expect([name, result.code, error.message]).toEqual([name, 1, expect.stringContaining(message)])
    expect([name, error.code]).toEqual([name, expect.stringMatching(/^ERR_(RECIPE|FILE_READ)$/)])
  }
})
