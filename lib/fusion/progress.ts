/** How far a command is: bytes of weights, read and written together, and tensors that are done. */
export interface Progress {
  bytesDone: number
  bytesTotal: number
  tensorsDone: number
  tensorsTotal: number
}
