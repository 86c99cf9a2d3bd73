// Sends the microphone to the server and shows what it says, by the protocols of sherpa-onnx: samples are float32; a
// stream ends with Done, and a whole utterance begins with its sample rate and its size in bytes.
"use strict";

const LIMIT_BYTES = 1 << 18; // of a message, when a whole utterance is sent
const part = (name) => document.getElementById(name);
let model = null; // what the server says of itself: protocol, sample_rate, model
let hearing = null; // what is in use while it listens: context, tracks, socket, utterance

function say(state, error = "") {
  part("state").textContent = state;
  part("error").textContent = error;
}

function show(number, text, isFinal) {
  const list = part("text");
  while (list.children.length <= number) list.append(document.createElement("li"));
  list.children[number].textContent = text;
  list.children[number].className = isFinal ? "" : "growing";
}

function hear(message, first) {
  if (message === "Done!") return;
  const said = JSON.parse(message);
  if (said.error) say("", said.error);
  else if (said.text) show(first + (said.segment ?? 0), said.text, said.is_final ?? true);
}

async function listen() {
  say("asking for the microphone");
  const constraints = { channelCount: 1, autoGainControl: false, echoCancellation: false, noiseSuppression: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: constraints });
  const context = new AudioContext({ sampleRate: model.sample_rate });
  await context.audioWorklet.addModule("microphone.js");
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`);
  socket.binaryType = "arraybuffer";
  const first = part("text").children.length;
  hearing = { context, stream, socket, utterance: [] };
  socket.onmessage = (event) => hear(event.data, first);
  socket.onclose = (event) => {
    release();
    if (!part("error").textContent) say(event.wasClean ? "" : "the connection broke", event.reason);
  };
  const microphone = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
  microphone.port.onmessage = (event) => {
    if (model.protocol === "whole") hearing?.utterance.push(event.data);
    else if (socket.readyState === WebSocket.OPEN && hearing) socket.send(event.data);
  };
  socket.onopen = () => {
    context.createMediaStreamSource(stream).connect(microphone);
    say("listening");
  };
  part("listen").textContent = "Stop";
  part("listen").className = "listening";
}

function release() {
  if (!hearing) return;
  hearing.stream.getTracks().forEach((track) => track.stop());
  hearing.context.close();
  hearing = null;
  part("listen").textContent = "Listen";
  part("listen").className = "";
}

function sendUtterance(socket, parts) {
  const samples = new Float32Array(parts.reduce((sum, one) => sum + one.length, 0));
  parts.reduce((start, one) => (samples.set(one, start), start + one.length), 0);
  if (!samples.length) return socket.close();
  const header = new DataView(new ArrayBuffer(8));
  header.setInt32(0, model.sample_rate, true);
  header.setInt32(4, samples.byteLength, true);
  socket.send(header.buffer);
  for (let start = 0; start < samples.byteLength; start += LIMIT_BYTES) {
    socket.send(samples.buffer.slice(start, start + LIMIT_BYTES));
  }
}

function stop() {
  const { socket, utterance } = hearing;
  release();
  say("waiting for the rest of the text");
  if (model.protocol === "whole") sendUtterance(socket, utterance);
  socket.send("Done");
}

part("listen").onclick = async () => {
  try {
    if (hearing) stop();
    else await listen();
  } catch (error) {
    release();
    say("", `The microphone cannot be used: ${error.message}.`);
  }
};

fetch("model.json")
  .then((answer) => answer.json())
  .then((facts) => {
    model = facts;
    part("model").textContent = facts.model;
  })
  .catch(() => say("", "The server does not answer."));
