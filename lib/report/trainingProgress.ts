import { formatCount, formatPercent } from '../text/format.js'
import { formatDuration } from '../text/formatUnits.js'
import type { StepEvent, TrainingEvent } from '../train/trainerEvents.js'
import type { ProgressStream } from './progress.js'

/** A terminal is redrawn at most twice a second; a log gets a line every ten seconds. */
const redrawSeconds = 0.5
const logSeconds = 10
/** Of the speed that the time left is told from: the newest step counts for so much. */
const newest = 0.1

/** Shows how a training goes: one line that is redrawn on a terminal, now and then a line elsewhere. */
export function trainingReporter(
  stream: ProgressStream,
  totalSteps: () => number | undefined,
  clock: () => number = () => performance.now() / 1000,
): { update(event: TrainingEvent): void; print(line: string): void; end(): void } {
  const interval = stream.isTTY ? redrawSeconds : logSeconds
  let [next, drawn] = [Number.NEGATIVE_INFINITY, '']
  let secondsPerStep: number | undefined
  const clear = () => {
    if (drawn && stream.isTTY) stream.write('\r\x1b[K')
  }
  const print = (line: string) => {
    clear()
    stream.write(`${line}\n`)
    if (drawn && stream.isTTY) stream.write(drawn)
  }
  return {
    update(event) {
      const remark = remarkOf(event)
      if (remark !== undefined) print(remark)
      if (event.event !== 'step') return
      secondsPerStep =
        secondsPerStep === undefined ? event.seconds : secondsPerStep + newest * (event.seconds - secondsPerStep)
      const now = clock()
      if (now < next && event.step !== totalSteps()) return
      next = now + interval
      const line = stepLine(event, totalSteps(), secondsPerStep)
      drawn = stream.isTTY ? line.slice(0, (stream.columns ?? 80) - 1) : line
      stream.write(stream.isTTY ? `\r\x1b[K${drawn}` : `${line}\n`)
    },
    print,
    end() {
      clear()
      drawn = ''
    },
  }
}

/** `step 12/300 (4.0 %)  loss 2.314  norm 1.02  lr 1.0e-5  8.4 k tokens/s  52.1 GFLOP/s  3 min 12 s left` */
function stepLine(event: StepEvent, total: number | undefined, secondsPerStep: number): string {
  const { step, loss, gradientNorm, learningRate, tokensPerSecond, flops } = event
  const of = total === undefined ? '' : `/${total} (${formatPercent(step / total)})`
  const left = total === undefined ? [] : [`${formatDuration((total - step) * secondsPerStep)} left`]
  return [
    `step ${step}${of}`,
    `loss ${figures(loss)}`,
    `norm ${figures(gradientNorm)}`,
    `lr ${learningRate.toExponential(1)}`,
    `${formatCount(Math.round(tokensPerSecond))} tokens/s`,
    formatFlops(flops),
    ...left,
  ].join('  ')
}

function remarkOf(event: TrainingEvent): string | undefined {
  if (event.event === 'validation') return `step ${event.step}: validation loss ${figures(event.loss)}`
  if (event.event === 'checkpoint') return `step ${event.step}: saved ${event.path}`
  if (event.event === 'damaged') return `Set aside a damaged checkpoint, ${event.path}: ${event.reason}`
  if (event.event === 'start' && event.resumedFrom)
    return `Continuing after step ${event.step}, from ${event.resumedFrom}${changesOf(event.changed)}`
  if (event.event !== 'skipped') return undefined
  const rows = event.samples.slice(0, 5).map(({ source, row }) => `source ${source} row ${row}`)
  return `step ${event.step} was skipped: ${event.reason}${rows.length > 0 ? ` (${rows.join(', ')})` : ''}`
}

const changesOf = (names: readonly string[] = []): string =>
  names.length === 0 ? '' : `; changed since then: ${names.join(', ')}`

/** Four significant figures; a loss that is not finite is no number in JSON. */
export const figures = (value: number | null): string => (value === null ? 'not finite' : value.toPrecision(4))

/** 52.1 GFLOP/s */
export function formatFlops(flops: number): string {
  const units = ['FLOP/s', 'kFLOP/s', 'MFLOP/s', 'GFLOP/s', 'TFLOP/s', 'PFLOP/s']
  let [value, unit] = [flops, 0]
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${value.toPrecision(3)} ${units[unit]}`
}
