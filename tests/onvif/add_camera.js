// What a recorder or a home automation does when it adds a camera, by two unmodified clients of npm:
// onvif (UniFi Protect, Scrypted) and node-onvif (Shinobi). Arguments: HOST PORT USER PASSWORD.
// Prints a line for each step, and one of JSON with the addresses that it was given. Ends with 1 and
// the reason if a step fails. With --motion URL it makes a test event there and waits for it.
'use strict';
const [host, port, username, password, ...rest] = process.argv.slice(2);
const motion = rest[0] === '--motion' ? rest[1] : null;
const { Cam } = require('onvif');
const { OnvifDevice } = require('node-onvif');
const { promisify } = require('util');

const LIMIT_MS = 120000;
setTimeout(() => fail('nothing more happens'), LIMIT_MS).unref();

function fail(why) {
  console.log('FAIL ' + (why && why.stack ? why.stack : why));
  process.exit(1);
}
function need(fact, what) {
  if (!fact) throw new Error(what);
  console.log('ok ' + what);
}
function of(cam, name) {
  return promisify(cam[name]).bind(cam);
}

async function byOnvif() {
  const cam = await new Promise((done, failed) => {
    const made = new Cam({ hostname: host, port: +port, username, password }, (error) =>
      error ? failed(error) : done(made));
  });
  need(cam.services.length >= 5, 'onvif: services are listed');
  need(cam.media2Support, 'onvif: media2 is taken');
  need(cam.profiles.length >= 3, 'onvif: profiles');
  const uris = [];
  const groups = [];
  for (const profile of cam.profiles) {
    const profileToken = profile.$.token;
    need(typeof profileToken === 'string', 'onvif: the token of a profile is a text');
    const { uri } = await of(cam, 'getStreamUri')({ protocol: 'RTSP', profileToken });
    uris.push(uri);
    groups.push((await of(cam, 'getStreamUri')({ protocol: 'RtspMulticast', profileToken })).uri);
  }
  const token0 = cam.profiles[0].$.token;
  const snapshot = await of(cam, 'getSnapshotUri')({ profileToken: token0 });
  need(snapshot.uri.startsWith('http://'), 'onvif: snapshot');

  need(Object.keys(await of(cam, 'getNodes')()).length === 1, 'onvif: a PTZ node');
  await of(cam, 'absoluteMove')({ x: 0.5, y: -0.25, zoom: 0.5 });
  await arrives('onvif: goes to a position', async () => {
    const { position } = await of(cam, 'getStatus')();
    return Math.abs(position.x - 0.5) < 0.03 && Math.abs(position.y + 0.25) < 0.03;
  });
  await of(cam, 'setPreset')({ presetName: 'door' });
  const token = (await of(cam, 'getPresets')()).door.$.token;
  need(typeof token === 'string', 'onvif: a preset is kept');
  await of(cam, 'continuousMove')({ x: -1, y: 0, zoom: 0 });
  await of(cam, 'stop')();
  await of(cam, 'gotoPreset')({ preset: token });
  await of(cam, 'removePreset')({ presetToken: token });

  const before = await of(cam, 'getImagingSettings')();
  if (before.brightness !== undefined) {
    const brightness = before.brightness > 50 ? 25 : 75;
    await of(cam, 'setImagingSettings')({ brightness });
    const now = await of(cam, 'getImagingSettings')();
    need(now.brightness === brightness, 'onvif: brightness is set');
    await of(cam, 'setImagingSettings')({ brightness: before.brightness });
  }
  if (motion) await event(cam);
  return { uris, multicast: groups, snapshot: snapshot.uri };
}

async function arrives(what, look) {
  for (;;) {
    if (await look()) return need(true, what);
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function event(cam) {
  const heard = new Promise((done) => {
    cam.on('event', (message) => {
      const topic = message.topic._;
      const data = message.message && message.message.message && message.message.message.data;
      const item = data && data.simpleItem && data.simpleItem.$;
      if (topic === 'tns1:VideoSource/MotionAlarm' && item && item.Value === true) done();
    });
  });
  const basic = Buffer.from(`${username}:${password}`).toString('base64');
  // Once a second: the first may come before the subscription.
  let over = false;
  (async () => {
    for (let active = true; !over; active = !active) {
      const done = await fetch(motion, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Authorization: `Basic ${basic}` },
        body: JSON.stringify({ active }),
      });
      if (!done.ok) fail(`${motion}: ${done.status} ${await done.text()}`);
      await new Promise((next) => setTimeout(next, 500));
    }
  })().catch(fail);
  await heard;
  over = true;
  need(true, 'onvif: motion is told');
}

async function byNodeOnvif() {
  const device = new OnvifDevice({
    xaddr: `http://${host}:${port}/onvif/device_service`,
    user: username,
    pass: password,
  });
  const info = await device.init();
  need(info.Manufacturer && info.SerialNumber !== undefined, 'node-onvif: information');
  const profiles = device.getProfileList();
  need(profiles.length >= 3, 'node-onvif: profiles');
  const largest = Math.max(...profiles.map((p) => p.video.encoder.resolution.width));
  need(profiles[0].video.encoder.resolution.width === largest, 'node-onvif: the largest is first');
  const picture = await device.fetchSnapshot();
  const { body } = picture;
  need(body[0] === 0xff && body[1] === 0xd8, 'node-onvif: a snapshot is a JPEG');
  await device.ptzMove({ speed: { x: 0.5, y: 0, z: 0 }, timeout: 1 });
  await device.ptzStop();
  need(true, 'node-onvif: moves and stops');
  return profiles.map((p) => ({ udp: p.stream.udp, http: p.stream.http, rtsp: p.stream.rtsp }));
}

(async () => {
  const one = await byOnvif();
  const two = await byNodeOnvif();
  console.log(JSON.stringify({ ...one, streams: two }));
  process.exit(0);
})().catch(fail);
