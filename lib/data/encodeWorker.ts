import { parentPort, workerData } from 'node:worker_threads'
import type { Conversation } from './conversation.js'
import { Encoder, type Encoding } from './encode.js'
import { encodeRow } from './encodeRows.js'

/** A thread that encodes the portions it is sent, one after the other. */
const encoder = new Encoder(workerData as Encoding)

parentPort?.on('message', (conversations: Conversation[]) => {
  const rows = conversations.map((conversation) => encodeRow(encoder, conversation))
  const buffers = rows.flatMap((row) =>
    'documents' in row ? row.documents.map(({ tokens }) => tokens.buffer as ArrayBuffer) : [],
  )
  parentPort?.postMessage(rows, buffers)
})
