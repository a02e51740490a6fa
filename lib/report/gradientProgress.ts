import { formatPercent } from '../text/format.js'
import { formatDuration } from '../text/formatUnits.js'
import type { GradientProgress } from '../train/writeGradient.js'
import { dataProgressReporter } from './dataProgress.js'
import { type ProgressStream, progressLine } from './progressLine.js'

/** Shows how far a gradient is: data first, then packs. */
export function gradientReporter(
  stream: ProgressStream,
  clock: () => number = () => performance.now() / 1000,
): { update(progress: GradientProgress): void; end(): void } {
  const data = dataProgressReporter(stream, clock)
  let started = clock()
  const packs = progressLine<Extract<GradientProgress, { phase: 'gradient' }>>(
    stream,
    ({ packsDone, packsTotal }, now) => {
      const seconds = now - started
      const left = formatDuration((seconds * (packsTotal - packsDone)) / packsDone)
      const rate = seconds > 0 ? `${(packsDone / seconds).toFixed(2)} packs/s` : '-'
      const fraction = packsDone / packsTotal
      const text = `${formatPercent(fraction)}  ${packsDone} of ${packsTotal} packs  ${rate}  ${left} left`
      return { fraction, text }
    },
    clock,
  )
  return {
    update(progress) {
      if (progress.phase === 'gradient') packs.update(progress)
      else {
        data.update(progress.data)
        started = clock()
      }
    },
    end() {
      data.end()
      packs.end()
    },
  }
}
