import { existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { merge, type PipelineProgress, type PipelineSummary, planPipeline, runPipeline, sft } from '../../lib/index.js'
import { askedOf, numbersOf, serverOf } from '../teach/taughtServer.js'
import { additions, allSteps, embedded, newPipeline, newServer, pipelineText, served, writeRows } from './setting.js'

/** Why each step ran, of those that did. */
const ranOf = ({ steps }: PipelineSummary): Record<string, string[]> =>
  Object.fromEntries(steps.filter(({ status }) => status === 'done').map(({ name, reasons }) => [name, reasons]))

const statusesOf = (steps: readonly { name: string; status: string }[]): Record<string, string> =>
  Object.fromEntries(steps.map(({ name, status }) => [name, status]))

const everyStep = (value: unknown): Record<string, unknown> => Object.fromEntries(allSteps.map((name) => [name, value]))

test('every step does what its function does alone, and all are kept afterwards', async () => {
  const { cwd, file, out } = await newPipeline(pipelineText(embedded))
  const seen: PipelineProgress[] = []
  const summary = await runPipeline(file, { onProgress: (progress) => seen.push(progress) })
  expect(summary.steps.map(({ error }) => error)).toEqual(allSteps.map(() => null))
  expect(ranOf(summary)).toEqual(everyStep(['not run yet']))
  expect(summary).toMatchObject({ complete: true, out })

  // The same by the functions themselves.
  const alone = join(cwd, 'alone')
  const data = { cutoffLength: 64, packing: 'none', cache: join(cwd, 'cache') } as const
  for (const [name, source] of [
    ['left', join(out, 'numbers/data.jsonl')],
    ['right', join(cwd, 'other.jsonl')],
  ] as const) {
    await sft({
      model: join(cwd, 'base'),
      output: join(alone, name),
      data: { ...data, sources: [source] },
      training: { maxSteps: 3, learningRate: 1e-2, saveSteps: 1 },
      launcher: { threads: 1 },
    })
  }
  const models = { left: join(alone, 'left'), right: join(alone, 'right') }
  await merge({ models, expression: 'left & right', options: { lambda: 1.5 } }, { out: join(alone, 'merged') })
  for (const name of ['left', 'right', 'merged']) {
    const weights = readFileSync(join(alone, name, 'model.safetensors'))
    expect(readFileSync(join(out, name, 'model.safetensors')).equals(weights), name).toBe(true)
  }
  expect(JSON.parse(readFileSync(join(out, 'table/results.json'), 'utf8')).models).toEqual(['left', 'merged'])
  expect(readFileSync(join(out, 'table/report.html'), 'utf8')).toContain('<html')

  // What it tells meanwhile.
  const begun = seen.filter(({ phase }) => phase === 'begin').map(({ step }) => step)
  expect(begun).toEqual(allSteps)
  const worked = new Set(seen.flatMap((each) => (each.phase === 'work' ? [`${each.step} ${each.work.of}`] : [])))
  expect([...worked]).toEqual(expect.arrayContaining(['numbers select', 'left sft', 'merged merge', 'scores evaluate']))

  const before = readFileSync(join(out, 'left/training/metrics.jsonl'), 'utf8')
  const again = await runPipeline(file, { resume: true })
  expect(statusesOf(again.steps)).toEqual(everyStep('kept'))
  expect(readFileSync(join(out, 'left/training/metrics.jsonl'), 'utf8')).toBe(before)
  expect(statusesOf((await planPipeline(file)).steps)).toEqual(everyStep('kept'))
})

test('a changed line, file or output runs again exactly what hangs on it, and says why', async () => {
  const server = await newServer()
  const { cwd, file, out } = await newPipeline(pipelineText(served(server.url)))
  const at = (name: string) => join(cwd, name)
  const replace = (from: string, to: string) => () => {
    const text = readFileSync(file, 'utf8')
    expect(text).toContain(from)
    writeFileSync(file, text.replace(from, to))
  }
  const asked = () => server.asked.filter(({ body }) => body.max_tokens !== 8).length
  const flip = (path: string) => () => {
    const bytes = readFileSync(path)
    bytes[bytes.length - 4] = (bytes.at(-4) as number) ^ 1
    writeFileSync(path, bytes)
  }
  const behind = {
    merged: { scores: ['step merged ran again'], table: ['step scores ran again'] },
    left: {
      merged: ['step left ran again'],
      fused: ['step left ran again'],
      scores: ['step left ran again', 'step merged ran again'],
      table: ['step scores ran again'],
    },
  }
  const cases: [name: string, change: () => void, ran: Record<string, string[]>][] = [
    ['nothing', () => {}, {}],
    ['a comment', replace('out: results', '# Where it goes.\nout: results'), {}],
    ['an option', replace('lambda: 1.5', 'lambda: 2'), { merged: ['options.lambda: 1.5 → 2'], ...behind.merged }],
    ['threads, which change no byte', replace('threads: 1\n  fused', 'threads: 2\n  fused'), {}],
    ['an option that was not set', replace('samples: 100', 'samples: 100, seed: 3'), { table: ['seed: not set → 3'] }],
    ['more trials', replace('trials: 1', 'trials: 2'), { scores: ['trials: 1 → 2'], table: ['step scores ran again'] }],
    [
      'a file',
      () => writeRows(at('rows.jsonl'), additions(13)),
      { numbers: ['input rows.jsonl changed'], left: ['step numbers ran again'], ...behind.left },
    ],
    ['the time of a file', () => utimesSync(at('rows.jsonl'), 5, 5), {}],
    [
      'questions',
      () => writeRows(at('questions.jsonl'), additions(2, 100)),
      { scores: ['input questions.jsonl changed'], table: ['step scores ran again'] },
    ],
    [
      'the weights of a model',
      flip(at('base/model.safetensors')),
      {
        left: ['input base/model.safetensors changed'],
        right: ['input base/model.safetensors changed'],
        ...behind.left,
        merged: ['step left ran again', 'step right ran again'],
        fused: ['step left ran again', 'step right ran again'],
      },
    ],
    [
      'an output that is gone',
      () => rmSync(join(out, 'fused/model.safetensors')),
      { fused: ['output model.safetensors is missing'] },
    ],
    [
      'an output that somebody changed',
      flip(join(out, 'merged/model.safetensors')),
      { merged: ['output model.safetensors changed'], ...behind.merged },
    ],
    [
      'the order of columns',
      replace('question: question, answers: answers', 'answers: answers, question: question'),
      { numbers: ['sources[0].map: the order of keys'], left: ['step numbers ran again'], ...behind.left },
    ],
    [
      'another kind',
      replace(
        `fuse: {left: '\${left}', right: '\${right}', preset: paper}`,
        `merge: {models: {a: '\${left}', b: '\${right}'}, expression: a & b}`,
      ),
      { fused: ['kind: fuse → merge'] },
    ],
    [
      'one more step',
      replace('  scores:', `  more:\n    fuse: {left: '\${left}', right: base}\n  scores:`),
      { more: ['not run yet'] },
    ],
    ['a step less', replace(`  more:\n    fuse: {left: '\${left}', right: base}\n`, ''), {}],
  ]
  expect((await runPipeline(file)).complete).toBe(true)
  for (const [name, change, ran] of cases) {
    change()
    const plan = await planPipeline(file)
    const before = asked()
    const summary = await runPipeline(file, { resume: true })
    expect([name, ranOf(summary)]).toEqual([name, ran])
    expect([name, summary.steps.filter(({ error }) => error)]).toEqual([name, []])
    // The plan told the same, before it was known that what is needed ran again.
    const planned = plan.steps.filter(({ status }) => status === 'run')
    const told = planned.map((each) => [each.name, each.reasons.map((text) => text.replace('runs again', 'ran again'))])
    expect([name, Object.fromEntries(told)]).toEqual([name, ran])
    // An evaluation asks only for what is missing: three questions for each of two models.
    if (name === 'questions') {
      // What was answered may have cost days: it is set aside, and not removed.
      expect(existsSync(join(out, 'scores.4/answers.jsonl'))).toBe(true)
    }
    if (name === 'more trials') expect(asked() - before).toBe(6)
  }
  // Nobody but its owner removes what a step has made.
  expect(existsSync(join(out, 'more/model.safetensors'))).toBe(true)
})

test('a step that fails stops only what hangs on it, and the next run does the rest', async () => {
  const server = await newServer()
  const { cwd, file } = await newPipeline(pipelineText(served(server.url)))
  const good = readFileSync(join(cwd, 'other.jsonl'))
  writeFileSync(join(cwd, 'other.jsonl'), '{"messages": 7}\n')
  const failed = await runPipeline(file)
  expect(failed.complete).toBe(false)
  expect(statusesOf(failed.steps)).toEqual({
    ...everyStep('blocked'),
    numbers: 'done',
    left: 'done',
    right: 'failed',
  })
  const outcomeOf = (name: string) => failed.steps.find((step) => step.name === name)
  expect(outcomeOf('right')?.error).toMatchObject({ code: 'ERR_DATA', message: expect.stringContaining('other.jsonl') })
  expect(outcomeOf('merged')?.reasons).toEqual(['step right failed'])
  expect(outcomeOf('table')?.reasons).toEqual(['step scores is not done'])
  const plan = await planPipeline(file)
  expect(plan.steps.find(({ name }) => name === 'right')).toMatchObject({
    status: 'run',
    reasons: [expect.stringMatching(/^failed: /)],
  })

  writeFileSync(join(cwd, 'other.jsonl'), good)
  const repaired = await runPipeline(file, { resume: true })
  expect(repaired.complete).toBe(true)
  expect(ranOf(repaired)).toMatchObject({ right: [expect.stringMatching(/^failed: /), 'input other.jsonl changed'] })
  expect(statusesOf(repaired.steps)).toEqual({ ...everyStep('done'), numbers: 'kept', left: 'kept' })
  rmSync(join(cwd, 'other.jsonl'))
  const missing = await runPipeline(file, { resume: true })
  expect(statusesOf(missing.steps)).toMatchObject({
    left: 'kept',
    right: 'failed',
    merged: 'blocked',
    scores: 'blocked',
  })
})

test('only, from and until choose steps; what they hang on must be done', async () => {
  const server = await newServer()
  const { file } = await newPipeline(pipelineText(served(server.url)))
  const runs = async (choice: Parameters<typeof planPipeline>[1]) => {
    const { steps } = await planPipeline(file, choice)
    return [
      steps.filter(({ status }) => status === 'run').map(({ name }) => name),
      steps.filter(({ status }) => status === 'blocked').map(({ name, reasons }) => [name, ...reasons]),
    ]
  }
  expect(await runs({})).toEqual([allSteps, []])
  expect(await runs({ only: ['numbers', 'right'] })).toEqual([['numbers', 'right'], []])
  expect(await runs({ only: 'left' })).toEqual([[], [['left', 'step numbers is not done']]])
  expect(await runs({ until: 'left' })).toEqual([['numbers', 'left'], []])
  expect(await runs({ until: 'scores' })).toEqual([['numbers', 'left', 'right', 'merged', 'scores'], []])
  expect(await runs({ from: 'right' })).toEqual([
    ['right'],
    [
      ['merged', 'step left is not done'],
      ['fused', 'step left is not done'],
      ['scores', 'step left is not done', 'step merged is not done'],
      ['table', 'step scores is not done'],
    ],
  ])
  expect(await runs({ from: 'left', until: 'fused' })).toEqual([
    [],
    [
      ['left', 'step numbers is not done'],
      ['fused', 'step left is not done', 'step right is not done'],
    ],
  ])
  await expect(runs({ only: 'lefft' })).rejects.toThrow(
    'Expected a step for only but received lefft: did you mean left?',
  )

  const first = await runPipeline(file, { until: ['left', 'right'] })
  expect(first.complete).toBe(true)
  expect(statusesOf(first.steps)).toEqual({ ...everyStep('left'), numbers: 'done', left: 'done', right: 'done' })
  // Now its models are there, and a plan says what the merge needs.
  const plan = await planPipeline(file, { only: 'merged' })
  const merged = plan.steps.find(({ name }) => name === 'merged')
  expect(merged?.status).toBe('run')
  expect(merged?.estimate?.bytesToRead).toBeGreaterThan(500_000)
  expect(merged?.estimate?.diskBytes).toBeGreaterThan(merged?.estimate?.bytesToWrite as number)
  const blocked = await runPipeline(file, { resume: true, only: 'table' })
  expect(blocked.complete).toBe(false)
  expect(statusesOf(blocked.steps)).toMatchObject({ left: 'kept', merged: 'left', table: 'blocked' })
  const second = await runPipeline(file, { resume: true, from: 'left', until: 'merged' })
  expect(ranOf(second)).toEqual({ merged: ['not run yet'] })
})

test('a pipeline begins in an empty directory, and goes on only with resume', async () => {
  const text =
    'out: results\nsteps:\n  numbers:\n    select: {sources: [{path: rows.jsonl, map: {question: question, answers: answers}}]}\n'
  const { file, out } = await newPipeline(text)
  expect((await runPipeline(file)).complete).toBe(true)
  await expect(runPipeline(file)).rejects.toMatchObject({
    code: 'ERR_OUTPUT_EXISTS',
    message: expect.stringContaining('--resume'),
  })
  // A directory that no step has made is not touched.
  const more = text.replace('  numbers:', '  other:\n    select: selection.yaml\n  numbers:')
  writeFileSync(file, more)
  writeFileSync(
    join(out, '../selection.yaml'),
    'sources: [{path: rows.jsonl, map: {question: question, answers: answers}}]\n',
  )
  const foreign = join(out, 'other')
  writeRows(join(out, 'other'), [])
  const refused = await runPipeline(file, { resume: true })
  expect(refused.steps[0]).toMatchObject({ name: 'other', status: 'failed', error: { code: 'ERR_OUTPUT_EXISTS' } })
  rmSync(foreign)
  expect((await runPipeline(file, { resume: true })).complete).toBe(true)
  writeFileSync(join(out, 'pipeline.json'), '{"format": 1')
  await expect(runPipeline(file, { resume: true })).rejects.toMatchObject({ code: 'ERR_PIPELINE' })
  rmSync(join(out, 'pipeline.json'))
  await expect(runPipeline(file, { resume: true })).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' })
})

test('an abort rejects with its reason, and the next run goes on', async () => {
  const { file } = await newPipeline(pipelineText(served((await newServer()).url)))
  const controller = new AbortController()
  const reason = new Error('enough')
  const running = runPipeline(file, {
    signal: controller.signal,
    onProgress: (progress) => {
      if (progress.phase === 'begin' && progress.step === 'right') controller.abort(reason)
    },
  })
  await expect(running).rejects.toBe(reason)
  const next = await runPipeline(file, { resume: true })
  expect(next.complete).toBe(true)
  expect(statusesOf(next.steps)).toEqual({ ...everyStep('done'), numbers: 'kept', left: 'kept' })
  expect(ranOf(next).right).toEqual(['was cut off'])
})

test('a file that changes while its step runs is told, and nothing is taken for done', async () => {
  const { cwd, file } = await newPipeline(pipelineText(served((await newServer()).url)))
  const summary = await runPipeline(file, {
    until: 'numbers',
    onProgress: (progress) => {
      if (progress.phase === 'work') writeRows(join(cwd, 'questions.jsonl'), additions(2))
      if (progress.phase === 'work' && progress.step === 'numbers') writeRows(join(cwd, 'rows.jsonl'), additions(40))
    },
  })
  expect(summary.steps[0]).toMatchObject({ status: 'failed', error: { code: 'ERR_FILE_CHANGED' } })
})

test('what a teacher answers is trained on, and more is asked for without asking twice', async () => {
  const server = await serverOf()
  const text = (limit: number) => `out: results
steps:
  taught:
    teach:
      questions: questions.jsonl
      teacher: {urls: ['${server.url.replace('//', '//user:hunter2@')}'], model: served, headers: {x-key: hunter3}}
      untilCorrect: 1
      limit: ${limit}
  expert:
    sft:
      model: base
      data: {sources: ['\${taught}'], cutoffLength: 256, packing: none, cache: cache}
      training: {maxSteps: 1}
      launcher: {threads: 1}
`
  const { cwd, file, out } = await newPipeline(text(4))
  writeRows(join(cwd, 'questions.jsonl'), additions(6))
  expect((await runPipeline(file)).steps.map(({ error }) => error)).toEqual([null, null])
  const asked = askedOf(server).length
  const before = readFileSync(join(out, 'taught/data.jsonl'), 'utf8')
  writeFileSync(file, text(6))
  const more = await runPipeline(file, { resume: true })
  expect(ranOf(more)).toEqual({ taught: ['limit: 4 → 6'], expert: ['step taught ran again'] })
  expect(readFileSync(join(out, 'pipeline.json'), 'utf8')).not.toContain('hunter')
  // The same answers of the first four, and those of two more.
  expect(readFileSync(join(out, 'taught/data.jsonl'), 'utf8').startsWith(before)).toBe(true)
  const again = askedOf(server).slice(asked)
  expect(new Set(again.map(numbersOf).map(([left]) => left))).toEqual(new Set([4, 5]))
})
