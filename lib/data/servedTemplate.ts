import { readTokenizerFiles } from '../checkpoint/tokenizerFiles.js'
import type { ResolvedData } from './options.js'
import { readTemplate } from './readTemplate.js'

/**
 * The chat template that makes whoever asks the expert give it what it was trained with; undefined where that is the one
 * beside its tokenizer.
 *
 * @throws ERR_FILE_READ, ERR_TOKENIZER, ERR_CHAT_TEMPLATE
 */
export async function servedTemplate(
  model: string,
  { template, tokenizer, think }: Pick<ResolvedData, 'template' | 'tokenizer' | 'think'>,
): Promise<string | undefined> {
  if (template === 'checkpoint' && think === 'target') return undefined
  const { text } = await readTemplate(template, await readTokenizerFiles(tokenizer ?? model))
  // Few programs that serve models know the marks of what is trained; comments trim white space as they did.
  const unmarked = text.replace(/\{%(-?)\s*(?:end)?generation\s*(-?)%\}/g, '{#$1 $2#}')
  return think === 'prompt' ? openReasoning(unmarked) : unmarked
}

/** Ends the prompt with the tag that begins the reasoning, where it does not yet. */
function openReasoning(text: string): string {
  const isOpened = /<think>(?:\\n|\n)['"]?[^<]*$/.test(text)
  return isOpened ? text : `${text.trimEnd()}\n{%- if add_generation_prompt -%}{{- '<think>\\n' -}}{%- endif -%}\n`
}
