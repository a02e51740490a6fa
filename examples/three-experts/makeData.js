#!/usr/bin/env node
/**
 * Writes the data of four small tasks, each a JSON Lines file of conversations: DIR/base.jsonl, DIR/math.jsonl,
 * DIR/science.jsonl, DIR/coding.jsonl; DIR/text.txt, all of their words, to train a tokenizer on; and for each of the three
 * experts' tasks questions that are in none of these, DIR/questions/TASK.jsonl. The same bytes everywhere.
 *
 *   node examples/three-experts/makeData.js DIR
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const rows = 3000
/** Held-out questions of a task. */
const heldOut = 40

/** Numbers from 0 to below `bound`, by a linear congruential generator (Knuth's MMIX). */
function randomNumbers(seed) {
  let state = BigInt(seed)
  return (bound) => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n)
    return Number(((state >> 32n) * BigInt(bound)) >> 32n)
  }
}

/** @typedef {(below: (bound: number) => number) => [question: string, answer: string]} Task */

/** @type {(below: (bound: number) => number) => number[]} */
const digits = (below) => Array.from({ length: 3 + below(4) }, () => below(10))

/** @type {Record<string, Task>} */
const tasks = {
  base: (below) => {
    const list = `[${digits(below).join(', ')}]`
    const n = below(99)
    return below(2) === 0 ? [`Repeat the list ${list}.`, list] : [`What comes after ${n}?`, `${n + 1}`]
  },
  math: (below) => {
    const list = digits(below)
    return [`What is the largest of [${list.join(', ')}]?`, `${Math.max(...list)}`]
  },
  science: (below) => {
    const metres = 1 + below(999)
    return [`Give ${metres} m in cm.`, `${100 * metres} cm`]
  },
  coding: (below) => {
    const list = digits(below)
    return [`Reverse the list [${list.join(', ')}].`, `[${list.toReversed().join(', ')}]`]
  },
}

const [directory] = process.argv.slice(2)
if (directory === undefined) {
  console.error('Usage: node examples/three-experts/makeData.js DIR')
  process.exit(2)
}
mkdirSync(join(directory, 'questions'), { recursive: true })
const words = []
for (const [seed, [name, task]] of Object.entries(tasks).entries()) {
  const below = randomNumbers(seed + 1)
  const pairs = Array.from({ length: rows }, () => task(below))
  const lines = pairs.map(([question, answer]) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: question },
        { role: 'assistant', content: answer },
      ],
    }),
  )
  writeFileSync(join(directory, `${name}.jsonl`), `${lines.join('\n')}\n`)
  words.push(...pairs.flat())
  if (name !== 'base') writeQuestions(name, task, below, new Set(pairs.map(([question]) => question)))
}
writeFileSync(join(directory, 'text.txt'), `${words.join('\n')}\n`)

/**
 * @param {string} name
 * @param {Task} task
 * @param {(bound: number) => number} below
 * @param {Set<string>} known - questions that are trained on
 */
function writeQuestions(name, task, below, known) {
  const lines = []
  while (lines.length < heldOut) {
    const [question, answer] = task(below)
    if (known.has(question)) continue
    known.add(question)
    const id = `${name}-${lines.length + 1}`
    lines.push(JSON.stringify({ id, question, answer, grader: 'exact' }))
  }
  writeFileSync(join(directory, 'questions', `${name}.jsonl`), `${lines.join('\n')}\n`)
}
