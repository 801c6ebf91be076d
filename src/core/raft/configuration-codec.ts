/**
 * A configuration as bytes, the same in log entries, records and snapshots: voters, learners and witnesses, each a count
 * and that many texts, sorted and distinct, so that equal configurations have equal bytes. Append-only format.
 */
import { assert } from "../../lib/assert.ts";
import { ByteReader, type Decoded } from "../../lib/byte-reader.ts";
import { ByteWriter } from "../../lib/byte-writer.ts";
import { copyBytes } from "../../lib/bytes.ts";
import { type MemberId, memberId } from "../../lib/ids.ts";
import { type ConfigurationRecord, configurationProblem } from "./configuration.ts";

/** Length and one letter: bounds a count before anything is allocated for it. */
const memberBytesMin = 2;

export function writeConfiguration(writer: ByteWriter, record: ConfigurationRecord): void {
  const problem = configurationProblem(record);
  assert(problem === undefined, `a configuration that can be: ${problem ?? ""}`);
  for (const members of [record.voters, record.learners, record.witnesses]) {
    writer.varint(members.length);
    for (const member of [...members].sort()) {
      assert(member !== "", "a member has a name");
      writer.text(member);
    }
  }
}

/** The first problem stands in the reader; what is returned then is no configuration. */
export function readConfiguration(reader: ByteReader): ConfigurationRecord {
  const record = { voters: readMembers(reader), learners: readMembers(reader), witnesses: readMembers(reader) };
  const problem = reader.problem === undefined ? configurationProblem(record) : undefined;
  if (problem !== undefined) reader.fail("damaged", `a configuration cannot be: ${problem}`);
  return record;
}

export function encodeConfiguration(record: ConfigurationRecord): Uint8Array {
  const writer = new ByteWriter();
  writeConfiguration(writer, record);
  return writer.finish();
}

/** The command of a `configuration` entry. */
export function decodeConfiguration(bytes: Uint8Array): Decoded<ConfigurationRecord> {
  const reader = new ByteReader(copyBytes(bytes));
  return reader.finish(readConfiguration(reader));
}

function readMembers(reader: ByteReader): MemberId[] {
  const count = reader.varintUpTo(Math.floor(reader.remaining / memberBytesMin), "the number of members");
  const members: MemberId[] = [];
  for (let i = 0; i < count && reader.problem === undefined; i++) {
    const member = memberId(reader.text());
    const before = members[i - 1] ?? "";
    if (member <= before) reader.fail("damaged", `member "${member}" stands behind "${before}"`);
    members.push(member);
  }
  return members;
}
