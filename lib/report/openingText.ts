import type { EngineProgress } from '../engines/open/openEngine.js'
import { formatPercent, printable } from '../text/format.js'
import { formatBytes, formatDuration } from '../text/formatUnits.js'

const stages = { hash: 'reading', export: 'writing as GGUF', load: 'loading', start: 'starting' } as const

/** How far the start of a model's engine is. */
export function describeOpening(
  model: string,
  { stage, done, total }: EngineProgress,
): { fraction: number; text: string } {
  const fraction = total ? done / total : 0
  const far =
    stage === 'start'
      ? formatDuration(done)
      : total === undefined || stage === 'load'
        ? formatPercent(fraction)
        : `${formatPercent(fraction)} of ${formatBytes(total)}`
  return { fraction, text: `${printable(model)}: ${stages[stage]}  ${far}` }
}
