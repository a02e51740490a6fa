import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type SftProgress, sft } from '../../lib/index.js'
import { looksComplete } from '../support/directoryContents.js'
import { runCommand } from '../support/runCommand.js'
import { type DoubleScript, doubleEnv, newRun } from '../support/sftRun.js'
import { SlurmCluster, until } from './cluster.js'

let cluster: SlurmCluster
beforeAll(async () => {
  cluster = await SlurmCluster.start()
})
afterAll(() => cluster?.stop())

/** The double has no MPI: ranks are what srun says. */
const slurm = (more = 'signalSeconds: 1') =>
  `launcher: {processes: 2, slurm: {partition: main, time: "1", mpi: none, ${more}}}`

const submit = (file: string, script: DoubleScript, more: string[] = [], onStart?: (pid: number) => void) =>
  runCommand(['sft', file, '--slurm', '--json', ...more], {
    env: { ...doubleEnv(script), ...cluster.env },
    onStart: (child) => onStart?.(child.pid as number),
  })

const training = (output: string, ...names: string[]): string => join(output, 'training', ...names)
const began = (output: string, rank: number) =>
  until(`rank ${rank} begins`, 600, () => existsSync(training(output, `heartbeat-${rank}.json`)))

describe('sft --slurm', () => {
  test('submits, follows to the end, and leaves the expert, whatever the directory is called', async () => {
    const { file, directory } = await newRun(slurm())
    const output = join(directory, 'it\'s 100%a "$HOME" *')
    const set = ['--set', `output=${JSON.stringify(output)}`]
    const { code, stdout, stderr } = await submit(file, { milliseconds: 200 }, set)
    expect([code, stderr]).toEqual([0, expect.stringContaining('completed')])
    expect(JSON.parse(stdout)).toMatchObject({ reason: 'done', steps: 6, output })
    expect(looksComplete(output)).toBe(true)
    expect(JSON.parse(readFileSync(training(output, 'heartbeat-1.json'), 'utf8'))).toMatchObject({
      rank: 1,
      phase: 'ended',
    })
  })

  test('saves when its time is nearly over, is requeued on exit code 85, and goes on where it was', async () => {
    // A minute less 50 seconds: the signal comes after about ten, in a run of thirty. The second job has the rest.
    const { file, output } = await newRun(slurm('signalSeconds: 50'))
    const { code, stdout } = await submit(file, { steps: 100, milliseconds: 300 })
    expect([code, stdout]).toEqual([0, expect.stringContaining('steps')])
    const { job, steps } = JSON.parse(stdout)
    expect(steps).toBe(100)
    expect(await cluster.run('scontrol', ['show', 'job', job])).toMatch(/Restarts=[1-9]/)
    const events = readFileSync(training(output, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const starts = events.filter(({ event }) => event === 'start').map(({ step }) => step)
    expect(starts[0]).toBe(0)
    expect(starts[1]).toBeGreaterThan(0)
    // No step twice, none left out.
    expect(events.filter(({ event }) => event === 'step').map(({ step }) => step)).toEqual(
      Array.from({ length: 100 }, (_, i) => i + 1),
    )
    expect(looksComplete(output)).toBe(true)
  })

  test('a process that fails is named, with its host and words', async () => {
    const { file, output } = await newRun(slurm())
    const { code, stdout } = await submit(file, { fail: 'error', rank: 1, milliseconds: 100, steps: 200 })
    expect(code).toBe(1)
    expect(JSON.parse(stdout).error).toMatchObject({
      code: 'ERR_TRAINING_FAILED',
      message: expect.stringMatching(/^Rank 1 on \S+ failed first: Expected finite losses/),
    })
    expect(looksComplete(output)).toBe(false)
  })

  test('a process that is killed is named, as srun tells', async () => {
    const { file } = await newRun(slurm())
    const { stdout } = await submit(file, { fail: 'crash', rank: 1, milliseconds: 100, steps: 200 })
    expect(JSON.parse(stdout).error.message).toMatch(/^Rank 1 on n[12] failed first: it was ended by Killed/)
  })

  test('Ctrl-C lets it save and ends the job', async () => {
    const { file, output } = await newRun(slurm())
    const running = submit(file, { steps: 1000, milliseconds: 200 }, [], (pid) => {
      began(output, 0).then(
        () => process.kill(pid, 'SIGINT'),
        () => process.kill(pid, 'SIGKILL'),
      )
    })
    const { code } = await running
    expect(code).toBe(130)
    const events = readFileSync(training(output, 'metrics.jsonl'), 'utf8')
    expect(events).toContain('"event":"checkpoint"')
    expect(await cluster.run('squeue', ['--noheader'])).toBe('')
  })

  test('Ctrl-C takes a job that still waits out of the queue', async () => {
    const { file, output } = await newRun(slurm('signalSeconds: 1, sbatchArguments: [--begin=now+1hour]'))
    const { code } = await submit(file, {}, [], (pid) => {
      const submitted = () => existsSync(training(output, 'job.sh'))
      until(
        'it is submitted',
        600,
        async () => submitted() && (await cluster.run('squeue', ['--noheader'])) !== '',
      ).then(
        () => process.kill(pid, 'SIGINT'),
        () => process.kill(pid, 'SIGKILL'),
      )
    })
    expect([code, await cluster.run('squeue', ['--noheader'])]).toEqual([130, ''])
  })

  test('SIGTERM ends the following, and the job goes on', async () => {
    const { file, output } = await newRun(slurm())
    const { code } = await submit(file, { steps: 1000, milliseconds: 200 }, [], (pid) => {
      began(output, 0).then(
        () => process.kill(pid, 'SIGTERM'),
        () => process.kill(pid, 'SIGKILL'),
      )
    })
    const [job] = (await cluster.run('squeue', ['--noheader', '--format=%i'])).split('\n') as [string]
    expect([code, await cluster.stateOf(job)]).toEqual([143, 'RUNNING'])
    await cluster.run('scancel', [job])
    await cluster.endOf(job)
  })

  test('from a script', async () => {
    const { file, output } = await newRun(slurm())
    const before = { ...process.env }
    Object.assign(process.env, doubleEnv({ milliseconds: 100 }), cluster.env)
    const states: string[] = []
    const onProgress = (progress: SftProgress) => {
      if (progress.phase === 'job') states.push(progress.state)
    }
    const summary = await sft(file, { slurm: true, onProgress }).finally(() => {
      process.env = before
    })
    expect(summary).toMatchObject({ reason: 'done', steps: 6, output, job: expect.stringMatching(/^\d+$/) })
    expect(states.at(-1)).toBe('COMPLETED')
  })

  test('a job that is cancelled is not requeued', async () => {
    const { file, output } = await newRun(slurm())
    const { stdout } = await submit(file, { steps: 1000, milliseconds: 200 }, ['--detach'])
    const { job } = JSON.parse(stdout)
    await began(output, 1)
    await cluster.run('scancel', [job])
    expect(await cluster.endOf(job)).toBe('CANCELLED')
    expect(looksComplete(output)).toBe(false)
  })

  test('the trainer itself, two processes that srun starts with PMIx', async () => {
    const { file, output } = await newRun(
      slurm('signalSeconds: 1')
        .replace('mpi: none, ', '')
        .replace('{processes', '{threads: 1, memory: 500MB, processes'),
    )
    const run = ['sft', file, '--slurm', '--json', '--set', 'training.learningRate=1e-3']
    const { code, stdout, stderr } = await runCommand(run, { env: cluster.env })
    expect([code, stderr]).toEqual([0, expect.stringContaining('completed')])
    const summary = JSON.parse(stdout)
    expect(summary.loss).toBeLessThan(summary.firstLoss)
    const [plan] = readFileSync(training(output, 'metrics.jsonl'), 'utf8')
      .split('\n')
      .map((line) => JSON.parse(line || '{}'))
    expect(plan).toMatchObject({ event: 'plan', processes: 2 })
    expect(looksComplete(output)).toBe(true)
  })

  test('a run that does not fit the node says so to those who follow', async () => {
    const { file } = await newRun(
      slurm('signalSeconds: 1').replace('mpi: none, ', '').replace('{processes', '{memory: 9MB, processes'),
    )
    const { stdout } = await runCommand(['sft', file, '--slurm', '--json'], { env: cluster.env })
    expect(JSON.parse(stdout).error).toMatchObject({
      code: 'ERR_OUT_OF_MEMORY',
      message: expect.stringContaining('fits the 9.00 MB'),
    })
  })

  test('--plan prints script and command, and submits nothing', async () => {
    const { file, output } = await newRun(slurm('nodes: 2, cpusPerTask: 1, signalSeconds: 30'))
    const { code, stdout } = await submit(file, {}, ['--plan'])
    expect(code).toBe(0)
    const { sbatch, script } = JSON.parse(stdout)
    expect(sbatch).toEqual(
      expect.arrayContaining(['--requeue', '--open-mode=append', '--signal=B:USR1@30', '--ntasks=2', '--nodes=2']),
    )
    expect(script).toContain('scontrol requeue "$SLURM_JOB_ID"')
    expect(existsSync(output)).toBe(false)
    expect(await cluster.run('squeue', ['--noheader'])).toBe('')
  })
})
