#!/usr/bin/env node
/**
 * Measures what teaching costs beside the teacher: questions a second and memory, with a server in another process that answers at
 * once, and the same questions through batch files. Prints JSON.
 *
 *   node bench/teach.js [--questions 10000] [--characters 2000]    of the reasoning of an answer
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { teach } from '../dist/index.js'

const { values } = parseArgs({
  options: { questions: { type: 'string', default: '10000' }, characters: { type: 'string', default: '2000' } },
})
const [questions, characters] = [Number(values.questions), Number(values.characters)]

/** @param {number} sum */
const answerOf = (sum) => ({
  reasoning_content: 'First I look at the numbers, then I add them. '.repeat(Math.ceil(characters / 46)),
  content: `The sum is \\boxed{${sum}}.`,
})

/** @param {string} text */
const sumIn = (text) => Number(/What is (\d+)/.exec(text)?.[1]) + 5

if (process.send) serve()
else await measure()

/** The server, in a process of its own: four events an answer. */
function serve() {
  const server = createServer((request, response) => {
    if (request.method === 'GET') {
      const isList = request.url === '/v1/models'
      response.writeHead(isList ? 200 : 404, { 'content-type': 'application/json' })
      response.end(JSON.stringify(isList ? { data: [{ id: 'served' }] } : {}))
      return
    }
    /** @type {Buffer[]} */
    const pieces = []
    request.on('data', (piece) => pieces.push(piece))
    request.on('end', () => {
      const { messages } = JSON.parse(Buffer.concat(pieces).toString('utf8'))
      const { reasoning_content, content } = answerOf(sumIn(messages[0].content))
      const events = [
        { choices: [{ delta: { reasoning_content } }] },
        { choices: [{ delta: { content } }] },
        { choices: [{ delta: {}, finish_reason: 'stop' }] },
        { choices: [], usage: { prompt_tokens: 9, completion_tokens: 400 } },
      ]
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.end(`${events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')}data: [DONE]\n\n`)
    })
  })
  server.listen(0, '127.0.0.1', () => process.send?.(server.address()))
}

async function measure() {
  const directory = mkdtempSync(join(tmpdir(), 'branchmerge-bench-'))
  const child = fork(fileURLToPath(import.meta.url))
  try {
    const [{ port }] = /** @type {[{port: number}]} */ (await once(child, 'message'))
    const path = join(directory, 'questions.jsonl')
    const rows = Array.from({ length: questions }, (_, i) =>
      JSON.stringify({ id: `q${i}`, question: `What is ${i} + 5?`, answer: i + 5, grader: 'math' }),
    )
    writeFileSync(path, `${rows.join('\n')}\n`)
    const teaching = { questions: path, sampling: { maxTokens: 1024 } }
    const teacher = { urls: [`http://127.0.0.1:${port}/v1`], model: 'served' }
    const called = await timed(() => teach({ ...teaching, teacher, out: join(directory, 'called.jsonl') }))
    const resumed = await timed(() =>
      teach({ ...teaching, teacher, out: join(directory, 'called.jsonl') }, { resume: true }),
    )
    const batched = { ...teaching, teacher: { model: 'served' }, out: join(directory, 'batched.jsonl') }
    const written = await timed(() => teach(batched, { writeBatch: join(directory, 'requests') }))
    const results = await answerBatch(join(directory, 'requests'))
    const read = await timed(() => teach(batched, { readBatch: [results] }))
    const isSame = readFileSync(join(directory, 'called.jsonl')).equals(readFileSync(batched.out))
    const rssMiB = Math.round(process.resourceUsage().maxRSS / 1024)
    console.log(JSON.stringify({ questions, characters, called, resumed, written, read, isSame, rssMiB }, null, 2))
  } finally {
    child.kill()
    rmSync(directory, { recursive: true })
  }
}

/** @param {() => Promise<unknown>} work */
async function timed(work) {
  const [begun, before] = [performance.now(), process.cpuUsage()]
  await work()
  const { user, system } = process.cpuUsage(before)
  const [seconds, cpuSeconds] = [(performance.now() - begun) / 1000, (user + system) / 1e6]
  return {
    seconds: Number(seconds.toFixed(2)),
    cpuSeconds: Number(cpuSeconds.toFixed(2)),
    questionsPerCpuSecond: Math.round(questions / cpuSeconds),
  }
}

/** @param {string} requests */
async function answerBatch(requests) {
  const path = `${requests}.results.jsonl`
  const file = createWriteStream(path)
  for (const name of readdirSync(requests)) {
    for (const line of readFileSync(join(requests, name), 'utf8').split('\n').slice(0, -1)) {
      const { custom_id, body } = JSON.parse(line)
      const message = answerOf(sumIn(body.messages[0].content))
      const choices = [{ message, finish_reason: 'stop' }]
      const usage = { prompt_tokens: 9, completion_tokens: 400 }
      const text = JSON.stringify({ custom_id, response: { status_code: 200, body: { choices, usage } } })
      if (!file.write(`${text}\n`)) await once(file, 'drain')
    }
  }
  file.end()
  await once(file, 'finish')
  return path
}
