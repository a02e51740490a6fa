import { beginEvents, chunkOf, json, type Script, streamOf } from './scriptedServer.js'

/** Whatever may go well another time, and the requests that one answer takes when it happens twice: 3 unless another number says. */
export const passingFailures: readonly [name: string, script: Script, attempts?: number][] = [
  [
    'HTML of a proxy',
    (_, response) => response.writeHead(502, { 'content-type': 'text/html' }).end('<html><title>Bad Gateway</title>'),
  ],
  [
    'HTML with status 200',
    (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>busy</html>'),
  ],
  [
    'a stream that is cut',
    (_, response) => {
      beginEvents(response)
      response.write(chunkOf({ content: 'The' }))
      setTimeout(() => response.destroy(), 10)
    },
  ],
  [
    'a stream that ends without a finish_reason',
    (_, response) => {
      beginEvents(response)
      response.end(`${chunkOf({ content: 'The' })}data: [DONE]\n\n`)
    },
  ],
  [
    'an error within the stream',
    (_, response) => {
      beginEvents(response)
      response.end(`${chunkOf({ content: 'The' })}data: {"error": {"message": "engine died", "code": 500}}\n\n`)
    },
  ],
  [
    'an error event',
    (_, response) => {
      beginEvents(response)
      response.end(`${chunkOf({ content: 'The' })}event: error\ndata: {"reason": "no worker"}\n\n`)
    },
  ],
  [
    'an event that is no JSON',
    (_, response) => {
      beginEvents(response)
      response.end(`${chunkOf({ content: 'The' })}data: {"choices": [\n\n`)
    },
  ],
  [
    'a server that gives up',
    (_, response) => {
      beginEvents(response)
      response.end(streamOf(['The'], 'abort'))
    },
  ],
  [
    'a connection that is closed at once',
    (_, response) => {
      response.socket?.destroy()
    },
    // The second time the connection is a kept one, which servers may close at any moment.
    2,
  ],
  ['408', (_, response) => json(response, { error: { message: 'slow' } }, 408)],
  ['500', (_, response) => json(response, { error: { message: 'worker died' } }, 500)],
  ['529', (_, response) => json(response, { error: { message: 'overloaded' } }, 529)],
]
