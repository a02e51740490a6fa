import { workerData } from 'node:worker_threads'
import { answerInThread } from '../threads/answerInThread.js'
import type { Conversation } from './conversation.js'
import { Encoder, type Encoding } from './encode.js'
import { encodeRow } from './encodeRows.js'

/** A thread that encodes the portions it is sent. */
const encoder = new Encoder(workerData as Encoding)

answerInThread(
  (conversations: Conversation[]) => conversations.map((conversation) => encodeRow(encoder, conversation)),
  (rows) =>
    rows.flatMap((row) => ('documents' in row ? row.documents.map(({ tokens }) => tokens.buffer as ArrayBuffer) : [])),
)
