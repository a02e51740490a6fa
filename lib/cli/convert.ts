import { type ConvertOptions, conversionText, convert } from '../convert.js'
import { printable } from '../text/format.js'
import { checkPath } from '../validate.js'
import { printJson, printText } from './print.js'

/** `branchmerge convert MERGEKIT.yml|LLAMA_FACTORY.yaml` */
export async function runConvert(args: Record<string, unknown>): Promise<number> {
  const { out, overwrite } = args as Pick<ConvertOptions, 'out' | 'overwrite'>
  const conversion = await convert(checkPath(args.file, 'file'), { out, overwrite })
  if (args.json) printJson(conversion)
  else if (out === undefined) printText(conversionText(conversion))
  else {
    const kind = 'recipe' in conversion ? 'recipe' : 'run'
    printText([`The ${kind} is in ${out}`, ...conversion.notes.map(printable)].join('\n'))
  }
  return 0
}
