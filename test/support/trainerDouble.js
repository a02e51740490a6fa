#!/usr/bin/env node
// A stand-in for branchmerge-trainer that computes nothing: it speaks the trainer's events, writes its files and answers
// its signals, and fails where BRANCHMERGE_DOUBLE says. It shows how the launcher behaves when a trainer misbehaves.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'

const [runFile = '', planFlag] = process.argv.slice(2)
const rank = Number(process.env.OMPI_COMM_WORLD_RANK ?? process.env.SLURM_PROCID ?? 0)
const size = Number(process.env.OMPI_COMM_WORLD_SIZE ?? process.env.SLURM_STEP_NUM_TASKS ?? 1)
/** @type {import('./sftRun.js').DoubleScript & {steps: number, milliseconds: number, at: number, rank: number}}
 *  {"steps": n, "milliseconds": of a step, "fail": what, "at": step, "rank": who} */
const script = {
  steps: 6,
  milliseconds: 20,
  fail: undefined,
  at: 3,
  rank: 0,
  ...JSON.parse(process.env.BRANCHMERGE_DOUBLE ?? '{}'),
}

/** @type {(code: string, message: string) => never} */
const fail = (code, message) => {
  process.stderr.write(`${JSON.stringify({ event: 'error', code, message, rank })}\n`)
  process.exit(1)
}

const run = JSON.parse(readFileSync(runFile, 'utf8'))
const plan = { processes: size, parameters: 1000, totalSteps: script.steps, memory: { weights: 4000, total: 4000 } }
if (planFlag === '--plan') {
  if (script.fail === 'plan') fail('ERR_OUT_OF_MEMORY', 'Expected a run that fits 1.0 MiB')
  if (rank === 0) process.stdout.write(`${JSON.stringify(plan)}\n`)
  process.exit(0)
}

const directory = join(run.output, 'training')
const checkpoints = join(directory, 'checkpoints')
mkdirSync(checkpoints, { recursive: true })
/** @type {(event: object) => void} */
const emit = (event) => {
  if (rank !== 0) return
  const line = `${JSON.stringify(event)}\n`
  appendFileSync(join(directory, 'metrics.jsonl'), line)
  process.stdout.write(line)
}
const self = {
  host: hostname(),
  boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  pidNamespace: readlinkSync('/proc/self/ns/pid'),
  pid: process.pid,
  started: Number(
    readFileSync('/proc/self/stat', 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')[19],
  ),
}
/** @type {(step: number, phase: string) => void} */
const beat = (step, phase) => {
  const path = join(directory, `heartbeat-${rank}.json`)
  writeFileSync(`${path}.new`, `${JSON.stringify({ rank, ...self, phase, step, time: Date.now() })}\n`)
  renameSync(`${path}.new`, path)
}
const saved = () => readdirSync(checkpoints).sort().at(-1)
/** @type {(step: number) => void} */
const save = (step) => {
  const path = join(checkpoints, `step-${String(step).padStart(8, '0')}`)
  if (rank === 0 && !existsSync(path)) mkdirSync(path)
  emit({ event: 'checkpoint', step, path })
}

/** @type {'interrupted' | 'requeue' | undefined} */
let stop
let interrupts = 0
process.on('SIGINT', () => {
  if (++interrupts > 1) process.exit(130)
  stop = 'interrupted'
})
for (const signal of ['SIGTERM', 'SIGUSR1']) process.on(signal, () => (stop ??= 'requeue'))

/** @type {(milliseconds: number) => Promise<void>} */
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** What goes wrong at a step.
 * @type {Record<string, () => unknown>} */
const misbehave = {
  error: () => fail('ERR_TRAINING_DIVERGED', 'Expected finite losses but step 3 had none'),
  crash: () => process.kill(process.pid, 'SIGKILL'),
  silentExit: () => process.exit(7),
  log: () => process.stderr.write('a line that is no event\n'),
  hang: () => process.kill(process.pid, 'SIGSTOP'),
  slow: () => wait(3_600_000),
}

const resumedFrom = run.resume ? saved() : undefined
const first = resumedFrom ? Number(resumedFrom.slice(5)) : 0
emit({ event: 'plan', ...plan })
emit({ event: 'start', step: first, resumedFrom: resumedFrom ?? null })
for (let step = first + 1; step <= script.steps; step++) {
  beat(step - 1, 'training')
  if (script.fail && step === script.at && rank === script.rank) await misbehave[script.fail]?.()
  if (script.untilStopped && step === script.at) while (!stop) await wait(5)
  await wait(script.milliseconds)
  const [loss, seconds] = [3 / step, script.milliseconds / 1000]
  const figures = {
    epoch: step / 2,
    gradientNorm: 1.5,
    learningRate: 1e-5,
    tokens: 96,
    trainedTokens: 64,
    tokensPerSecond: 96 / seconds,
  }
  emit({ event: 'step', step, loss, ...figures, seconds, flops: 5e9, skipped: false, peakBytes: 5000 })
  if (stop) {
    // Saving takes a while, in which a second signal may come.
    await wait(script.savingMilliseconds ?? 0)
    save(step)
    emit({ event: 'end', step, reason: stop })
    beat(step, 'ended')
    process.exit(stop === 'requeue' ? 85 : 130)
  }
  if (run.checkpoint.everySteps && step % run.checkpoint.everySteps === 0) save(step)
  if (run.validation.everySteps && step % run.validation.everySteps === 0)
    emit({ event: 'validation', step, loss: loss * 1.1 })
}
if (rank === 0) {
  const staging = join(directory, 'export')
  mkdirSync(staging, { recursive: true })
  writeFileSync(join(staging, 'model.safetensors'), readFileSync(join(run.model, 'model.safetensors')))
  renameSync(join(staging, 'model.safetensors'), join(run.output, 'model.safetensors'))
}
emit({ event: 'end', step: script.steps, reason: 'done' })
beat(script.steps, 'ended')
