import type { ModelConfig } from '../checkpoint/readConfig.js'

/**
 * config.json of a converted model: its `torch_dtype` and `dtype` entries name the new dtype, and every other byte stays
 * (parsing and printing would turn 1000000.0 into 1000000, which Python tells apart).
 */
export function configWithDtype({ text }: Pick<ModelConfig, 'text'>, torchName: string): string {
  const entry = /("(?:torch_dtype|dtype)"\s*:\s*)(?:"[^"\\]*"|null)/g
  if (entry.test(text)) return text.replace(entry, `$1"${torchName}"`)
  const separator = /^\s*\{\s*\}/.test(text) ? '' : ','
  return text.replace('{', `{\n  "torch_dtype": "${torchName}"${separator}`)
}

/**
 * config.json of a model whose embeddings had `before` rows and have `rows`: `vocab_size` entries of so many, or of more than
 * there are now, become it, and every other byte stays.
 */
export function configWithVocabulary(
  { text }: Pick<ModelConfig, 'text'>,
  { before, rows }: { before: number | undefined; rows: number },
): string {
  return text.replace(/("vocab_size"\s*:\s*)(\d+)/g, (entry, key: string, size: string) =>
    Number(size) === before || Number(size) > rows ? `${key}${rows}` : entry,
  )
}
