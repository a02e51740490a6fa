// A server of a model, with a worker of its own, as an engine starts one: node servedModel.js MODEL PORT MODE
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'

const [model = '', port = '0', mode = 'good'] = process.argv.slice(2)
console.log(`loading ${model}`)
const worker = spawn('sleep', ['1000'], { stdio: 'inherit' })
console.log(`worker ${worker.pid}, server ${process.pid}`)
if (mode === 'ends') {
  console.error('out of memory: cannot load it')
  worker.kill()
  process.exit(3)
}
if (mode === 'dies') process.on('SIGUSR2', () => process.exit(5))
if (mode === 'stubborn') process.on('SIGTERM', () => console.log('asked to end'))

const answer = [
  { choices: [{ index: 0, delta: { content: 'Hello' }, finish_reason: null }] },
  { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
]
const server = createServer((request, response) => {
  if (request.url === '/v1/models') {
    response.end(JSON.stringify({ data: [{ id: model, owned_by: 'somebody' }] }))
    return
  }
  if (!request.url?.endsWith('completions')) {
    response.writeHead(404).end()
    return
  }
  request.resume()
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(answer.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join(''))
  })
})
if (mode !== 'silent') setTimeout(() => server.listen(Number(port), '127.0.0.1'), 200)
