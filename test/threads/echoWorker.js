import { parentPort, workerData } from 'node:worker_threads'

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort)

// Says what it is sent, later for smaller numbers; fails at the number that it was made with.
port.on('message', (number) => {
  if (number === workerData.failsAt) throw new Error(`no ${number}`)
  setTimeout(() => port.postMessage(number), Math.max(0, 20 - number))
})
