// Requests a second and processor time of the client, with 1,000 streams at a time, against a server in another process. A
// stream gets a piece every 100 ms, as from a model, and how many there are at a time grows up to the number given.
//   node bench/engines.js [streams=1000] [chunks=100] [requests=3000]
import { fork } from 'node:child_process'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'

const chunk = (/** @type {object} */ delta, /** @type {string | null} */ finish = null) =>
  `data: ${JSON.stringify({ id: 'chatcmpl-0123456789', object: 'chat.completion.chunk', model: 'bench', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`

if (process.argv[2] === 'serve') {
  const chunks = Number(process.argv[3])
  const piece = chunk({ content: ' token' })
  let [streams, mostStreams] = [0, 0]
  const server = createServer((request, response) => {
    mostStreams = Math.max(mostStreams, ++streams)
    response.on('close', () => streams--)
    request.resume()
    request.on('end', () => {
      if (request.url === '/most') {
        response.end(String(mostStreams))
        return
      }
      if (!request.url?.endsWith('completions')) {
        response.end(JSON.stringify({ data: [{ id: 'bench', owned_by: 'bench' }] }))
        return
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      let left = chunks
      const send = () => {
        response.write(piece)
        if (--left > 0) setTimeout(send, 100)
        else response.end(`${chunk({}, 'stop')}data: [DONE]\n\n`)
      }
      send()
    })
  })
  server.listen(0, '127.0.0.1', () =>
    process.send?.(/** @type {import('node:net').AddressInfo} */ (server.address()).port),
  )
} else {
  const { openEngine } = await import('../dist/engines/open/openEngine.js')
  const [streams = 1000, chunks = 100, requests = 3000] = process.argv.slice(2).map(Number)
  const server = fork(fileURLToPath(import.meta.url), ['serve', String(chunks)])
  const port = await new Promise((resolve) => server.once('message', resolve))
  const engine = await openEngine({ urls: [`http://127.0.0.1:${port}/v1`], concurrency: streams })
  const request = {
    prompt: { messages: [{ role: /** @type {const} */ ('user'), content: 'Say something.' }] },
    sampling: {
      ...{
        temperature: 0.6,
        topP: 0.95,
        topK: 0,
        minP: 0,
        repetitionPenalty: 1,
        presencePenalty: 0,
        frequencyPenalty: 0,
      },
      ...{ maxTokens: 32_768, stop: [] },
    },
    seed: 1,
  }
  const before = process.cpuUsage()
  const begun = performance.now()
  const answers = await Promise.all(Array.from({ length: requests }, () => engine.generate(request)))
  const seconds = (performance.now() - begun) / 1000
  const { user, system } = process.cpuUsage(before)
  const tokens = answers.reduce((total, { usage }) => total + (usage.completionTokens ?? 0), 0)
  const cpu = (user + system) / 1e6
  const most = await (await fetch(`http://127.0.0.1:${port}/most`)).text()
  console.log(
    `${requests} answers of ${chunks} pieces, up to ${most} of ${streams} at a time: ${(requests / seconds).toFixed(0)} requests/s, ` +
      `${((1000 * cpu) / requests).toFixed(2)} s of processor time for 1,000 streams, ${(tokens / seconds / 1000).toFixed(0)}k pieces/s, ` +
      `${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB`,
  )
  await engine.close()
  server.kill()
}
