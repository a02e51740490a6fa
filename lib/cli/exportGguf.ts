import { type ExportGgufOptions, exportGguf } from '../export/gguf/exportGguf.js'
import { progressAfterDownload } from '../report/downloadProgress.js'
import { progressReporter } from '../report/progress.js'
import { formatBytes, formatDuration } from '../text/formatUnits.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge export gguf DIR --out FILE` */
export async function runExportGguf(args: Record<string, unknown>): Promise<number> {
  const directory = checkPath(args.directory, 'directory')
  const { out, tokenizer, overwrite } = args
  const dtype = typeof args.dtype === 'string' ? args.dtype.toUpperCase() : args.dtype
  const progress = progressAfterDownload(process.stderr, progressReporter)
  const summary = await withInterrupt('removed', (signal) =>
    exportGguf(directory, {
      out,
      dtype,
      tokenizer,
      overwrite,
      signal,
      onProgress: progress.update,
      onDownload: progress.download,
    } as ExportGgufOptions),
  ).finally(progress.end)
  if (args.json) printJson(summary)
  else {
    const { family, tensors, bytes, seconds } = summary
    printText(
      `Wrote ${tensors} tensors of a ${family} model, ${formatBytes(bytes)} in ${formatDuration(seconds)}\n` +
        `The file is ${summary.out}`,
    )
  }
  return 0
}
