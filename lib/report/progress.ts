import type { Progress } from '../merge/fuseOptions.js'
import { formatBytes, formatDuration, formatPercent, formatRate } from './format.js'

/** Where progress is drawn: process.stderr, or a stand-in of a test. */
export interface ProgressStream {
  isTTY?: boolean | undefined
  columns?: number | undefined
  write(text: string): unknown
}

/** A quick run shows nothing; a terminal is redrawn ten times a second; a log gets a line every ten seconds. */
const silentSeconds = 1
const redrawSeconds = 0.1
const logSeconds = 10

/** Shows how far a fusion is, with rate and time left: a bar on a terminal, now and then a line elsewhere. */
export function progressReporter(
  stream: ProgressStream,
  clock: () => number = () => performance.now() / 1000,
): { update(progress: Progress): void; end(): void } {
  const started = clock()
  const interval = stream.isTTY ? redrawSeconds : logSeconds
  let next = started + (stream.isTTY ? silentSeconds : logSeconds)
  let drawn = false
  return {
    update(progress) {
      const now = clock()
      if (now < next) return
      next = now + interval
      drawn = true
      const text = describe(progress, now - started)
      stream.write(stream.isTTY ? `\r\x1b[K${bar(progress, text, stream.columns ?? 80)}` : `${text}\n`)
    },
    end() {
      if (drawn && stream.isTTY) stream.write('\r\x1b[K')
    },
  }
}

const fractionOf = ({ bytesDone, bytesTotal }: Progress): number => (bytesTotal > 0 ? bytesDone / bytesTotal : 1)

function describe(progress: Progress, seconds: number): string {
  const { bytesDone, bytesTotal, tensorsDone, tensorsTotal } = progress
  const left = bytesDone > 0 ? formatDuration((seconds * (bytesTotal - bytesDone)) / bytesDone) : '?'
  return (
    `${formatPercent(fractionOf(progress))}  ${tensorsDone}/${tensorsTotal} tensors  ` +
    `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}  ${formatRate(bytesDone, seconds)}  ${left} left`
  )
}

/** The text with as much of a bar before it as fits in one line; a wrapped line could not be redrawn. */
function bar(progress: Progress, text: string, columns: number): string {
  const width = Math.min(24, columns - text.length - 4)
  if (width < 4) return text.slice(0, columns - 1)
  const full = Math.round(width * Math.min(1, fractionOf(progress)))
  return `[${'='.repeat(full)}${' '.repeat(width - full)}] ${text}`
}
