// What two readers of MP4 that know nothing of lensd make of a file: MP4Box.js (GPAC's) and
// codem-isoboxer. Prints JSON; what either of them complains of is an error.
//
//   NODE_PATH=…/node_modules node mp4.js FILE [cut]
//
// `cut`: the end of the file may be missing, and what is there before must be whole.
"use strict";
const fs = require("fs");
const [path, cut] = process.argv.slice(2);
const bytes = fs.readFileSync(path);
const buffer = () => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
const fail = (text) => {
  console.error(`${path}: ${text}`);
  process.exit(1);
};

const MP4Box = require("mp4box");
const complaints = [];
MP4Box.Log.setLogLevel(MP4Box.Log.LOG_LEVEL_WARNING ?? 3);
console.warn = console.error = (...words) => complaints.push(words.join(" "));
const file = MP4Box.createFile();
let info = null;
const samples = [];
file.onError = (...words) => complaints.push(words.join(" "));
file.onReady = (ready) => {
  info = ready;
  file.setExtractionOptions(ready.tracks[0].id, null, { nbSamples: 1 });
  file.start();
};
file.onSamples = (id, user, list) => samples.push(...list);
const whole = buffer();
whole.fileStart = 0;
file.appendBuffer(whole, true);
file.flush();
console.error = (text) => process.stderr.write(text + "\n");
if (!info) fail(`MP4Box.js finds no moov: ${complaints}`);
const [track] = info.tracks;
for (const [at, sample] of samples.entries()) {
  const before = samples[at - 1];
  if (!sample.data || sample.data.length !== sample.size || !sample.size) fail(`MP4Box.js: sample ${at} is not whole`);
  if (before && sample.dts < before.dts + before.duration) fail(`MP4Box.js: sample ${at} begins before the last one ends`);
}

// The boxes, one behind the other to the end of the file.
const parsed = require("codem-isoboxer").parseBuffer(buffer());
let end = 0;
for (const box of parsed.boxes) {
  const whole = !box._incomplete && box._offset === end;
  if (!whole && !cut) fail(`codem-isoboxer: ${box.type} at ${end} is not whole`);
  if (!whole) break;
  end += box.size === 1 ? box.largesize : box.size;
}
if (end !== bytes.length && !cut) fail(`codem-isoboxer: boxes end at ${end} of ${bytes.length}`);
// In a finished file the fragments lie within one box, and the index behind it names all samples.
const sum = (list) => list.reduce((all, one) => all + one.sample_count, 0);
const count = sum(parsed.fetchAll("trun")) || sum(parsed.fetchAll("stts").flatMap((box) => box.entries));

console.log(JSON.stringify({
  complaints,
  tracks: info.tracks.length,
  codec: track.codec,
  fragmented: info.isFragmented,
  width: track.video.width,
  height: track.video.height,
  samples: samples.length,
  keys: samples.filter((sample) => sample.is_sync).length,
  first_dts: samples.length ? samples[0].dts : null,
  seconds: samples.reduce((sum, sample) => sum + sample.duration, 0) / track.timescale,
  fragments: parsed.fetchAll("moof").length,
  boxed: count,
}));
