-- Keeps the newest reading of each device, and returns for how many it was new. The keys of one call are the
-- index of the devices that are online, then the key of each device, each once. The arguments are the time (ms since
-- 1970), and the time up to which the index forgets; then for each device when the time of its reading is over, when
-- that of its latest arrival is, and the reading.

-- A reading's own timestamp; all have one length, so texts compare as times do. The members in front of it
-- are numbers and null, so the first match is the one. Nil for a value that Telltale did not write.
local function timestamp(reading)
  return reading and string.match(reading, '"timestamp":"(%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ)"')
end

local index, now, forget = KEYS[1], ARGV[1], ARGV[2]
local accepted = 0
local kept = redis.call('MGET', unpack(KEYS, 2)) -- false for what is missing or no string
for i = 1, #kept do
  local key, over, expires, reading = KEYS[i + 1], ARGV[3 * i], ARGV[3 * i + 1], ARGV[3 * i + 2]
  local old = timestamp(kept[i])
  if old and old >= timestamp(reading) and tonumber(redis.call('ZSCORE', index, key) or 0) > tonumber(now) then
    -- The device reports, whatever its clock says: it stays online.
    if redis.call('PTTL', key) < expires - now then
      redis.call('PEXPIRE', key, expires - now)
    end
  else
    redis.call('ZADD', index, over, key)
    redis.call('SET', key, reading, 'PX', expires - now) -- last: after an error above, a repetition does all
    accepted = accepted + 1
  end
end

redis.call('ZREMRANGEBYSCORE', index, '-inf', forget)
return accepted
