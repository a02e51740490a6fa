import { BadRow } from './badRow.js'
import type { Conversation } from './conversation.js'
import type { EncodedDocument, Encoder } from './encode.js'

export type EncodedRow = { documents: EncodedDocument[] } | { problem: string }

/** Conversations as documents, or the reason why one cannot be used. */
export function encodeRows(encoder: Encoder, conversations: readonly Conversation[]): EncodedRow[] {
  return conversations.map((conversation) => {
    try {
      return { documents: encoder.encode(conversation) }
    } catch (error) {
      if (error instanceof BadRow) return { problem: error.message }
      throw error
    }
  })
}
