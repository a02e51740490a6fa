/** Files in the published schema of open-r1/OpenR1-Math-220k, with rows that are made up. */
import { leaf, list, text, writeRows } from './parquetRows.js'

/**
 * @typedef {object} OpenR1Row
 * @property {string} problem
 * @property {string | null} solution
 * @property {string | null} answer
 * @property {string} problem_type
 * @property {string} question_type
 * @property {string} source
 * @property {string | null} uuid
 * @property {(boolean | null)[] | null} is_reasoning_complete
 * @property {string[] | null} generations
 * @property {(boolean | null)[] | null} correctness_math_verify
 * @property {(boolean | null)[] | null} correctness_llama
 * @property {string[] | null} finish_reasons
 * @property {bigint} correctness_count
 * @property {{ content: string, role: string }[]} messages
 */

/** @type {import('./parquetRows.js').SchemaElement[][]} */
const columns = [
  [leaf('problem', text)],
  [leaf('solution', text)],
  [leaf('answer', text)],
  [leaf('problem_type', text)],
  [leaf('question_type', text)],
  [leaf('source', text)],
  [leaf('uuid', text)],
  list('is_reasoning_complete', [leaf('element', { type: 'BOOLEAN' })]),
  list('generations', [leaf('element', text)]),
  list('correctness_math_verify', [leaf('element', { type: 'BOOLEAN' })]),
  list('correctness_llama', [leaf('element', { type: 'BOOLEAN' })]),
  list('finish_reasons', [leaf('element', text)]),
  [leaf('correctness_count', { type: 'INT64' })],
  list('messages', [leaf('element', { num_children: 2 }), leaf('content', text), leaf('role', text)]),
]

/**
 * Writes rows a group at a time.
 *
 * @param {string} path
 * @param {Iterable<OpenR1Row>} rows
 * @param {import('./parquetRows.js').RowsOptions} [options]
 */
export const writeOpenR1 = (path, rows, options) => writeRows(path, columns, rows, options)

const types = ['math-word-problem', 'math-word-problem', 'math-word-problem', 'proof', 'MCQ', 'other']
const sources = ['olympiads', 'cn_contest', 'aops_forum', 'amc_aime', 'inequalities']

/**
 * A row as the data set has them: one to four generations, of which some are wrong, cut off, or were never verified.
 *
 * @param {number} i
 * @param {number} characters of a generation, about
 * @returns {OpenR1Row}
 */
export function openR1Row(i, characters) {
  const count = 1 + (i % 4)
  const answer = String((i * 7919) % 1000)
  const each = Array.from({ length: count }, (_, k) => k)
  const complete = each.map((k) => (i + k) % 11 !== 0)
  const correct = each.map((k) => (i + 2 * k) % 3 !== 0)
  const generations = each.map((k) => generation(i, k, characters, answer, complete[k] === true))
  const problem = `Problem ${i}: what is ${i} times 7919, modulo 1000? Give the remainder.`
  return {
    problem,
    solution: i % 13 === 0 ? null : `It is ${answer}.`,
    answer,
    problem_type: 'Number Theory',
    question_type: /** @type {string} */ (types[i % types.length]),
    source: /** @type {string} */ (sources[i % sources.length]),
    uuid: `${i.toString(16).padStart(8, '0')}-0000-5000-8000-000000000000`,
    is_reasoning_complete: complete,
    generations,
    correctness_math_verify: i % 10 === 9 ? null : correct,
    correctness_llama: i % 10 === 9 ? correct : null,
    finish_reasons: complete.map((whole) => (whole ? 'stop' : 'length')),
    correctness_count: BigInt(correct.filter((each) => each).length),
    messages: [
      { role: 'user', content: problem },
      { role: 'assistant', content: generations[0] ?? '' },
    ],
  }
}

const words = 'so we have that the remainder of this product is found when each factor is reduced first and then'.split(
  ' ',
)

/** @param {number} i @param {number} k @param {number} characters @param {string} answer @param {boolean} complete */
function generation(i, k, characters, answer, complete) {
  let state = (i * 31 + k * 17 + 1) >>> 0
  /** @type {string[]} */
  const parts = []
  // Like text, it is compressed to about a third.
  for (let length = 0; length < characters; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const word = state % 5 === 0 ? String(state % 100_000) : /** @type {string} */ (words[(state >>> 8) % words.length])
    parts.push(word)
    length += word.length + 1
  }
  const reasoning = `<think>\n${parts.join(' ')}`
  return complete ? `${reasoning}\n</think>\n\nThe remainder is \\boxed{${answer}}.` : reasoning
}
