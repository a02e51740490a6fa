import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { merge, openCheckpoint, type RunOptions, type SftOptions, type SftProgress, sft } from '../../../lib/index.js'
import { fileNames, looksComplete } from '../../support/directoryContents.js'
import { runCommand } from '../../support/runCommand.js'
import { type DoubleScript, doubleEnv, newRun } from '../../support/sftRun.js'

/** The double is found, and told what to do, through the environment of this process. */
async function withDouble<T>(script: DoubleScript, work: () => Promise<T>): Promise<T> {
  const before = { ...process.env }
  Object.assign(process.env, doubleEnv(script))
  try {
    return await work()
  } finally {
    process.env = before
  }
}

const runDouble = (script: DoubleScript, run: string | RunOptions, options?: SftOptions) =>
  withDouble(script, () => sft(run, options))

describe('a training that succeeds', () => {
  test('leaves an expert that merge takes, with its files, metrics and picture', async () => {
    const { file, output, directory, model } = await newRun('training: {saveSteps: 2}')
    const events: string[] = []
    const onProgress = (progress: SftProgress) => {
      if (progress.phase === 'training') events.push(progress.event.event as string)
    }
    const summary = await runDouble({}, file, { onProgress })
    expect(summary).toMatchObject({
      reason: 'done',
      steps: 6,
      totalSteps: 6,
      epochs: 3,
      tokens: 576,
      trainedTokens: 384,
    })
    expect(events).toEqual([
      'plan',
      'start',
      'step',
      'step',
      'checkpoint',
      'step',
      'step',
      'checkpoint',
      'step',
      'step',
      'checkpoint',
      'end',
    ])
    expect(fileNames(output)).toEqual([
      'README.md',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
      'training',
    ])
    expect(readFileSync(join(output, 'training', 'loss.svg'), 'utf8')).toContain('Loss of expert')
    expect((await openCheckpoint(output)).parameters).toBeGreaterThan(8e5)
    const merged = await merge('a & b', { models: { a: model, b: output }, out: join(directory, 'merged') })
    expect(merged.tensors).toBeGreaterThan(20)
  })

  test('config.json names the dtype that is exported', async () => {
    const { file, output } = await newRun('export: {dtype: F32}')
    await runDouble({}, file)
    expect(JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')).torch_dtype).toBe('float32')
    expect(JSON.parse(readFileSync(join(output, 'training', 'run.json'), 'utf8')).export.dtype).toBe('F32')
  })

  test('the template that was trained with comes along', async () => {
    const { file, output } = await newRun('')
    writeFileSync(file, readFileSync(file, 'utf8').replace('  cache: cache', '  cache: cache\n  template: chatml'))
    await runDouble({}, file)
    const template = readFileSync(join(output, 'chat_template.jinja'), 'utf8')
    expect(template).toContain('<|im_start|>')
    expect(template).not.toMatch(/generation[\s-]*%}/)
  })

  test('the tokenizer that was trained with comes along, the rest from the model', async () => {
    const { file, output, model, directory } = await newRun()
    const other = join(directory, 'tokenizer')
    mkdirSync(other)
    for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
      const text = readFileSync(join(model, name), 'utf8')
      writeFileSync(join(other, name), name === 'tokenizer.json' ? `${text}\n` : text)
    }
    for (const name of ['generation_config.json', 'vocab.json']) writeFileSync(join(model, name), '{}')
    writeFileSync(join(model, 'LICENSE'), 'Apache')
    writeFileSync(file, readFileSync(file, 'utf8').replace('  cache: cache', '  cache: cache\n  tokenizer: tokenizer'))
    await runDouble({}, file)
    expect(readFileSync(join(output, 'tokenizer.json'), 'utf8')).toBe(
      readFileSync(join(other, 'tokenizer.json'), 'utf8'),
    )
    // The model's vocab.json is of another tokenizer.
    expect(fileNames(output)).toEqual([
      'LICENSE',
      'README.md',
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
      'training',
    ])
  })

  test('done again with resume, it says so without training', async () => {
    const { file } = await newRun()
    const first = await runDouble({}, file)
    expect(await runDouble({ fail: 'error', at: 1 }, file, { resume: true })).toEqual(first)
    await expect(runDouble({}, file)).rejects.toMatchObject({
      code: 'ERR_OUTPUT_EXISTS',
      message: expect.stringContaining('holds a finished expert'),
    })
  })
})

describe('a training that fails names the process, and nothing looks complete', () => {
  test('one that says why', async () => {
    const { file, output } = await newRun()
    await expect(runDouble({ fail: 'error' }, file)).rejects.toMatchObject({
      code: 'ERR_TRAINING_FAILED',
      message: expect.stringMatching(/^Rank 0 on \S+ failed first: Expected finite losses.*\[ERR_TRAINING_DIVERGED\]/),
    })
    expect(looksComplete(output)).toBe(false)
    expect(JSON.parse(readFileSync(join(output, 'training', 'failure.json'), 'utf8')).code).toBe('ERR_TRAINING_FAILED')
  })

  test('one that ends without a word', async () => {
    const { file, output } = await newRun()
    await expect(runDouble({ fail: 'silentExit' }, file)).rejects.toThrow(
      'Rank 0 failed first: it ended with exit code 7 and gave no reason',
    )
    expect(looksComplete(output)).toBe(false)
  })

  test('one that is killed', async () => {
    const { file } = await newRun()
    await expect(runDouble({ fail: 'crash' }, file)).rejects.toThrow('it ended with SIGKILL')
  })

  test('one that shows no more life', async () => {
    const { file, output } = await newRun('launcher: {heartbeatTimeout: 1}')
    await expect(runDouble({ fail: 'hang' }, file)).rejects.toThrow(
      /Rank 0 on \S+ failed first: it has shown no sign of life for [12] s; its last step was 2/,
    )
    expect(looksComplete(output)).toBe(false)
  })

  test('the first of several, on its host, under mpirun', async () => {
    const { file, output } = await newRun('launcher: {processes: 3}')
    await expect(runDouble({ fail: 'error', rank: 2, steps: 500 }, file)).rejects.toThrow(
      /^Rank 2 on \S+ failed first: Expected finite/,
    )
    expect(looksComplete(output)).toBe(false)
  })

  test('one of several that is killed, as mpirun tells', async () => {
    const { file } = await newRun('launcher: {processes: 3}')
    await expect(runDouble({ fail: 'crash', rank: 1, milliseconds: 50 }, file)).rejects.toThrow(
      /^Rank 1 on \S+ failed first: it was ended by signal 9/,
    )
  })

  test('one of several that shows no more life', async () => {
    const { file } = await newRun('launcher: {processes: 2, heartbeatTimeout: 1.5}')
    await expect(runDouble({ fail: 'hang', rank: 1, steps: 200 }, file)).rejects.toThrow(
      /^Rank 1 on \S+ failed first: it has shown no sign of life/,
    )
  })

  test('the last lines of its log are shown', async () => {
    const { file } = await newRun()
    const lines: string[] = []
    const onProgress = (progress: SftProgress) => {
      if (progress.phase === 'log') lines.push(progress.line)
    }
    await runDouble({ fail: 'log' }, file, { onProgress })
    expect(lines).toEqual(['a line that is no event'])
    const other = await newRun()
    await expect(runDouble({ fail: 'error' }, other.file)).rejects.toThrow(
      '  | rank 0: Expected finite losses but step 3 had none [ERR_TRAINING_DIVERGED]',
    )
  })

  test('a plan that is refused, with its own code, before anything is written', async () => {
    const { file, output } = await newRun()
    await expect(runDouble({ fail: 'plan' }, file)).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' })
    expect(existsSync(output)).toBe(false)
  })

  test('a trainer that is not there', async () => {
    const { file, output } = await newRun()
    const result = await runCommand(['sft', file], { env: { BRANCHMERGE_TRAINER: '/nowhere/trainer' } })
    expect([result.code, result.stderr]).toEqual([1, expect.stringContaining('[ERR_TRAINER_MISSING]')])
    expect(existsSync(output)).toBe(false)
  })

  test('several processes without mpirun', async () => {
    const { file, output } = await newRun()
    const { code, stderr } = await runCommand(['sft', file, '--processes', '2'], {
      env: { ...doubleEnv(), PATH: '/nowhere' },
    })
    expect([code, stderr]).toEqual([1, expect.stringContaining('[ERR_MPI_MISSING]')])
    expect(existsSync(output)).toBe(false)
  })

  test('an output that holds something else', async () => {
    const { file, output } = await newRun()
    mkdirSync(output)
    writeFileSync(join(output, 'notes.txt'), 'mine')
    await expect(runDouble({}, file)).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' })
    expect(fileNames(output)).toEqual(['notes.txt'])
  })
})

describe('a training that is stopped', () => {
  const begun = (output: string) => existsSync(join(output, 'training', 'heartbeat-0.json'))
  const startedAt = (output: string, then: () => void) => {
    const timer = setInterval(() => {
      if (!begun(output)) return
      clearInterval(timer)
      then()
    }, 20)
  }

  test('saves after an abort, rejects with its reason, and goes on with resume', async () => {
    const { file, output } = await newRun()
    const controller = new AbortController()
    const running = runDouble({ untilStopped: true }, file, { signal: controller.signal })
    startedAt(output, () => controller.abort(new Error('enough')))
    await expect(running).rejects.toThrow('enough')
    expect(looksComplete(output)).toBe(false)
    expect(fileNames(join(output, 'training', 'checkpoints'))).toHaveLength(1)
    await expect(runDouble({}, file)).rejects.toThrow('Continue it (--resume')
    const summary = await runDouble({}, file, { resume: true })
    expect(summary).toMatchObject({ reason: 'done', steps: 6, tokens: 576 })
  })

  const command = (
    file: string,
    script: DoubleScript,
    output: string,
    send: (pid: number, child: ChildProcess) => void,
    more: string[] = [],
  ) =>
    runCommand(['sft', file, ...more], {
      env: doubleEnv(script),
      onStart: (child) => startedAt(output, () => send(child.pid as number, child)),
    })

  test('on Ctrl-C it saves, exit code 130', async () => {
    const { file, output } = await newRun()
    const { code, stderr } = await command(file, { untilStopped: true }, output, (pid) => process.kill(pid, 'SIGINT'))
    expect([code, stderr]).toEqual([130, expect.stringContaining('Ctrl-C again stops at once')])
    expect(fileNames(join(output, 'training', 'checkpoints'))).toHaveLength(1)
  })

  test('on a second Ctrl-C it ends at once, exit code 130', async () => {
    const { file, output } = await newRun()
    // Saving outlasts the time that a test has.
    const script = { untilStopped: true, savingMilliseconds: 3_600_000 }
    const { code } = await command(file, script, output, (_, child) => {
      child.stderr?.on('data', (text) => {
        if (String(text).includes('Ctrl-C again')) child.kill('SIGINT')
      })
      child.kill('SIGINT')
    })
    expect(code).toBe(130)
    expect(fileNames(join(output, 'training', 'checkpoints'))).toEqual([])
    expect(looksComplete(output)).toBe(false)
  })

  test.each(['SIGTERM', 'SIGUSR1'] as const)(
    'on %s it saves and asks to be started again, exit code 85',
    async (signal) => {
      const { file, output } = await newRun()
      const { code, stdout } = await command(file, { untilStopped: true }, output, (pid) => process.kill(pid, signal))
      expect([code, stdout]).toEqual([85, expect.stringContaining('Saved; the run is not finished')])
      const again = await runCommand(['sft', file, '--resume', '--json'], { env: doubleEnv() })
      expect([again.code, JSON.parse(again.stdout)]).toEqual([0, expect.objectContaining({ reason: 'done', steps: 6 })])
    },
  )

  test('under mpirun, too', async () => {
    const { file, output } = await newRun()
    const stop = (pid: number) => process.kill(pid, 'SIGINT')
    const { code, stderr } = await command(file, { untilStopped: true }, output, stop, ['--processes', '2'])
    expect([code, stderr]).toEqual([130, expect.stringContaining('Interrupted by SIGINT; unfinished files were kept')])
    expect(fileNames(join(output, 'training', 'checkpoints'))).toHaveLength(1)
  })

  test('a trainer whose launcher was killed is not started beside', async () => {
    const { file, output } = await newRun()
    // It writes nothing more: its next line would end it, as nobody reads.
    const { signal } = await command(file, { fail: 'slow', at: 1 }, output, (pid) => process.kill(pid, 'SIGKILL'))
    expect(signal).toBe('SIGKILL')
    const { pid } = JSON.parse(readFileSync(join(output, 'training', 'heartbeat-0.json'), 'utf8'))
    try {
      await expect(runDouble({}, file, { resume: true })).rejects.toThrow(`Process ${pid} is still training`)
    } finally {
      process.kill(pid, 'SIGKILL')
    }
  })
})

describe('what people see', () => {
  test('a table at the end, and a line now and then', async () => {
    const { file, output } = await newRun('training: {saveSteps: 3}')
    const { code, stdout, stderr } = await runCommand(['sft', file], { env: doubleEnv() })
    expect(code).toBe(0)
    expect(stderr).toMatch(
      /^step 1\/6 \(16\.7 %\) {2}loss 3\.000 {2}norm 1\.500 {2}lr 1\.0e-5 {2}4800 tokens\/s {2}5\.00 GFLOP\/s/m,
    )
    expect(stderr).toContain('step 3: saved ')
    expect(stdout).toContain('steps       6 of 6, 3 epochs')
    expect(stdout).toContain(`The expert is in ${output}`)
  })

  test('--plan tells plan and command, and writes nothing', async () => {
    const { file, output } = await newRun()
    const { code, stdout } = await runCommand(['sft', file, '--plan', '--processes', '2'], { env: doubleEnv() })
    expect(code).toBe(0)
    expect(stdout).toContain('steps          6 of 2 packs, 3 epochs')
    expect(stdout).toMatch(
      /^Command: .*mpirun -n 2 --host localhost:2 --bind-to none .*trainerDouble\.js .*run\.json$/m,
    )
    expect(stdout).toContain('Nothing was trained (--plan).')
    expect(existsSync(output)).toBe(false)
    const json = await runCommand(['sft', file, '--plan', '--json', '--set', 'training.seed=7'], {
      env: doubleEnv(),
    })
    expect(JSON.parse(json.stdout)).toMatchObject({ plan: { totalSteps: 6 }, trainerRun: { seed: 7, resume: false } })
  })
})
