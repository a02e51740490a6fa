import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Message } from '../../lib/data/conversation.js'
import { Encoder, type Encoding } from '../../lib/data/encode.js'
import { TextTokenizer } from '../../lib/data/tokenizer.js'
import { temporaryDirectory } from '../support/temporary.js'

const fixtures = new URL('fixtures/', import.meta.url)

export const tokenizerText = readFileSync(new URL('tokenizer.json', fixtures), 'utf8')
export const texts: Record<string, string> = JSON.parse(readFileSync(new URL('scripts.json', fixtures), 'utf8'))
export const referenceIds: Record<string, number[]> = JSON.parse(readFileSync(new URL('ids.json', fixtures), 'utf8'))
/** Ids of the fixture's tokenizer. */
export const vocabularySize = 4106

export const filesOfTokenizer = (config: object = {}) => ({
  directory: 'fixture',
  tokenizer: tokenizerText,
  config: JSON.stringify(config),
  chatTemplate: undefined,
  namedTemplates: new Map(),
})

export const fixtureTokenizer = () => new TextTokenizer(filesOfTokenizer())

/** ChatML as checkpoints have it: without marks of what the model writes. */
export const plainChatml =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

export const shippedTemplate = (name: string): string =>
  readFileSync(new URL(`../../templates/${name}.jinja`, import.meta.url), 'utf8')

export function encoderOf(templateText: string, options: Partial<Encoding> = {}): Encoder {
  return new Encoder({
    tokenizer: filesOfTokenizer({ eos_token: '<|im_end|>' }),
    templateName: 'the template',
    templateText,
    vocabularySize,
    think: 'target',
    missingThink: 'leave',
    train: 'assistant',
    maskHistory: false,
    cutoffLength: 4096,
    excessLengthStrategy: 'truncate',
    packing: 'none',
    ...options,
  })
}

/** user, assistant, user, … */
export const dialogue = (...contents: string[]): Message[] =>
  contents.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }))

/** A directory with what preparing data needs of a checkpoint. */
export function writeModel(files: { template?: string; vocabularySize?: number; config?: object } = {}): string {
  const directory = join(temporaryDirectory(), 'model')
  mkdirSync(directory)
  const chat = files.template === undefined ? {} : { chat_template: files.template }
  writeFileSync(join(directory, 'tokenizer.json'), tokenizerText)
  writeFileSync(
    join(directory, 'tokenizer_config.json'),
    JSON.stringify({ eos_token: '<|im_end|>', ...chat, ...files.config }),
  )
  writeFileSync(join(directory, 'config.json'), JSON.stringify({ vocab_size: files.vocabularySize ?? 4112 }))
  return directory
}

export function writeLines(path: string, rows: readonly unknown[]): string {
  writeFileSync(path, rows.map((row) => `${typeof row === 'string' ? row : JSON.stringify(row)}\n`).join(''))
  return path
}

/** Rows of the messages format: sums with some reasoning, of varying length. */
export function sums(count: number, first = 0): { messages: Message[] }[] {
  return Array.from({ length: count }, (_, i) => {
    const n = first + i
    const steps = Array.from({ length: n % 7 }, (_, j) => `Step ${j}: ${n} is ${n - j} and ${j}.`).join('\n')
    return { messages: dialogue(`What is ${n} plus ${n * n}?`, `<think>\n${steps}\n</think>\n\nIt is ${n + n * n}.`) }
  })
}
