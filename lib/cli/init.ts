import { floatDtypeFromName } from '../checkpoint/dtypes.js'
import { type InitOptions, init } from '../init/init.js'
import { downloadReporter } from '../report/downloadProgress.js'
import { formatCount } from '../text/format.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge init (--config FILE | --size 5m) (--tokenizer DIR | --train-tokenizer TEXT …) --out DIR` */
export async function runInit(args: Record<string, unknown>): Promise<number> {
  const { out, config, size, family, tokenizer, trainTokenizer, vocabSize, seed, dtype } = args
  const named = typeof dtype === 'string' ? (floatDtypeFromName(dtype) ?? dtype) : dtype
  const options = {
    out,
    config,
    size,
    family,
    tokenizer,
    trainTokenizer,
    vocabularySize: vocabSize,
    seed,
    dtype: named,
  }
  const downloads = downloadReporter(process.stderr)
  const summary = await withInterrupt('removed', (signal) =>
    init({ ...options, signal, onDownload: downloads.update } as InitOptions),
  ).finally(downloads.end)
  const { family: model, parameters, vocabularySize } = summary
  if (args.json) printJson(summary)
  else {
    printText(
      `Made a ${model} model of ${formatCount(parameters)} random parameters and ${vocabularySize} tokens, ` +
        `${summary.dtype}, seed ${summary.seed}\nThe checkpoint is in ${summary.out}`,
    )
  }
  return 0
}
