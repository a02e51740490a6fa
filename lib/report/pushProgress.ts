import type { PushProgress } from '../push/push.js'
import { formatPercent } from '../text/format.js'
import { formatBytes, formatDuration, formatRate } from '../text/formatUnits.js'
import { type ProgressStream, progressLine } from './progressLine.js'

const verbs = { hash: 'Hashing', send: 'Sending' } as const

/** Shows how far a push is, with rate and time left of its phase. */
export function pushReporter(
  stream: ProgressStream,
  clock: () => number = () => performance.now() / 1000,
): { update(progress: PushProgress): void; end(): void } {
  let start = { phase: '', time: clock(), bytes: 0 }
  const line = progressLine<PushProgress>(
    stream,
    ({ phase, bytesDone, bytesTotal }, now) => {
      const [bytes, seconds] = [bytesDone - start.bytes, now - start.time]
      const fraction = bytesTotal > 0 ? bytesDone / bytesTotal : 1
      const left = bytes > 0 ? formatDuration((seconds * (bytesTotal - bytesDone)) / bytes) : '?'
      const done = `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`
      const text = `${verbs[phase]}  ${formatPercent(fraction)}  ${done}  ${formatRate(bytes, seconds)}  ${left} left`
      return { fraction, text }
    },
    clock,
  )
  return {
    update(progress) {
      const { phase, bytesDone: bytes } = progress
      if (start.phase !== phase) start = { phase, time: clock(), bytes }
      line.update(progress)
    },
    end: line.end,
  }
}
