// Reads text/event-stream, as the HTML standard has it (section 9.2.6).

// A block is what stands before an empty line: an event, a place in the log, or both.
export interface Block {
  event: string;
  data: string | null; // null where there is none, so nothing to dispatch
  id: string | null; // null where it says no place
}

// MAX_BLOCK bounds what is kept of a block that does not end, in UTF-16 units.
export const MAX_BLOCK = 4 << 20;

export class Parser {
  private rest = ""; // of the last line, which has not ended
  private started = false;
  private block: { event: string; data: string[]; id: string | null } = { event: "", data: [], id: null };
  private size = 0;

  // push takes the next piece of the stream, and returns the blocks that end in it.
  push(piece: string): Block[] {
    if (!this.started && piece !== "") {
      this.started = true;
      if (piece.startsWith("\uFEFF")) piece = piece.slice(1);
    }
    const text = this.rest + piece;
    const found: Block[] = [];
    let at = 0;
    for (const end of text.matchAll(/\r\n|\r|\n/g)) {
      if (end[0] === "\r" && end.index === text.length - 1) break; // its \n may be on its way
      this.line(text.slice(at, end.index), found);
      at = end.index + end[0].length;
    }
    this.rest = text.slice(at);
    if (this.rest.length + this.size > MAX_BLOCK) throw new Error("an event of the stream does not end");
    return found;
  }

  private line(line: string, found: Block[]): void {
    if (line === "") {
      const { event, data, id } = this.block;
      if (data.length > 0 || id !== null) found.push({ event: event || "message", data: data.length > 0 ? data.join("\n") : null, id });
      this.block = { event: "", data: [], id: null };
      this.size = 0;
      return;
    }
    this.size += line.length;
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") this.block.data.push(value);
    else if (name === "event") this.block.event = value;
    else if (name === "id" && !value.includes("\0")) this.block.id = value;
  }
}
