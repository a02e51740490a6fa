import { gradientReporter } from '../report/gradientProgress.js'
import { formatCountOf } from '../text/format.js'
import { formatDuration } from '../text/formatUnits.js'
import { resolveRun } from '../train/resolveRun.js'
import { runDocument } from '../train/sft.js'
import { gradientOf } from '../train/writeGradient.js'
import { checkInteger, checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'
import { overridesOf } from './sft.js'

/** `branchmerge sft run.yaml --gradients-out DIR` */
export async function runSftGradient(args: Record<string, unknown>): Promise<number> {
  const out = checkPath(args['gradients-out'], 'gradients-out')
  const packs = checkInteger(args['gradient-packs'] ?? 32, 'gradient-packs', 1, 1e9)
  const run = resolveRun(await runDocument(checkPath(args.file, 'file')), overridesOf(args))
  const progress = gradientReporter(process.stderr)
  return await withInterrupt('removed', async (signal) => {
    const work = gradientOf(run, { out, packs, signal, onProgress: progress.update })
    const summary = await work.finally(progress.end)
    if (args.json) printJson(summary)
    else {
      const { tokens, trainedTokens, loss, norm, seconds } = summary
      printText(
        `Gradient of ${summary.model} on ${formatCountOf(summary.packs, 'pack')}, ${formatCountOf(tokens, 'token')}, ` +
          `${formatCountOf(trainedTokens, 'trained token')}, in ${formatDuration(seconds)}\n` +
          `loss ${loss.toPrecision(4)}, norm ${norm.toPrecision(4)}\nThe gradient is in ${out}`,
      )
    }
    return 0
  })
}
