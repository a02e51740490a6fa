import { BadRow } from './badRow.js'
import type { Conversation } from './conversation.js'
import type { EncodedDocument, Encoder } from './encode.js'

export type EncodedRow = { documents: EncodedDocument[] } | { problem: string }

/** A conversation as documents, or the reason why it cannot be used. */
export function encodeRow(encoder: Encoder, conversation: Conversation): EncodedRow {
  try {
    return { documents: encoder.encode(conversation) }
  } catch (error) {
    if (error instanceof BadRow) return { problem: error.message }
    throw error
  }
}
